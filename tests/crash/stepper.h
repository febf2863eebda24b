/*
 * stepper.h - a process that is stopped before any chosen instruction of a call, and killed there.
 *
 * A path is recorded once, by single steps: the address of each instruction, where the region changed, where
 * the kernel was called. Later processes come to instruction k by a hardware breakpoint on the nearest
 * instruction before it that is executed early enough, and step from there: single steps alone
 * would make the cost of all k the square of the path's length. That the address found is the recorded one is
 * checked each time.
 */
#ifndef IDEM_CRASH_STEPPER_H
#define IDEM_CRASH_STEPPER_H

#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "world.h"

/* A call that takes longer is refused: the scenario is not what it was meant to be. */
#define STEPPER_LENGTH_MAX 2000000u

enum stepper_stop {
    STOP_BEFORE, /* before the instruction */
    STOP_ENTRY,  /* a system call: in the kernel, nothing done yet */
    STOP_EXIT    /* done, on the way out */
};
struct stepper_point {
    uint32_t k; /* instructions completed */
    enum stepper_stop stop;
};

struct stepper_step {
    uint64_t address; /* of the instruction that comes next */
    uint32_t earlier; /* times that it was come to before */
    uint32_t from;    /* the cheapest place to step from: this point or an earlier one */
    uint32_t cost;    /* stops on the way here */
    bool iteration;   /* of a repeated string instruction: no breakpoint stops before it */
    bool changed;     /* the instruction before changed the region */
    bool system_call;
};
struct stepper_path {
    struct stepper_step *steps; /* [length + 1]: the last one is the end */
    uint32_t length;
    uint32_t changes, system_calls;
};

#define STEPPER_MARK() __asm__ volatile("int3" ::: "memory")
enum { INT3 = 0xcc, SYSCALL_FIRST = 0x0f, SYSCALL_SECOND = 0x05 };

/* All processes are forked from one: its text is theirs. */
static inline const uint8_t *stepper_text(uint64_t address)
{
    return (const uint8_t *)(uintptr_t)address;
}

static inline uint64_t stepper_address(pid_t pid)
{
    errno = 0;
    const long address = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.rip), NULL);
    CHECK(errno == 0);
    return (uint64_t)address;
}

/* Lets it go on to the next stop. */
static inline int stepper_resume(pid_t pid, int request)
{
    int status;
    CHECK(ptrace((enum __ptrace_request)request, pid, NULL, NULL) == 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status)) {
        TEST_FAIL("the victim ended by itself: wait status %#x", (unsigned)status);
    }
    return WSTOPSIG(status);
}

static inline void stepper_one(pid_t pid)
{
    CHECK_INT(stepper_resume(pid, PTRACE_SINGLESTEP), SIGTRAP);
}

/* What stands below the stack is what the parent did before it forked. String functions read beyond the ends
   of strings there, and take another way for what they find, though the result is the same. */
__attribute__((noinline)) static void stepper_clean_stack(void)
{
    volatile char below[32 << 10];
    for (size_t i = 0; i < sizeof(below); i++) {
        below[i] = 0;
    }
}

/* A child that gets ready, and then stands before the first instruction of `call`. */
static inline pid_t stepper_start(void (*ready)(void), void (*call)(void), void (*end)(void))
{
    fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        stepper_clean_stack();
        ready();
        stepper_clean_stack();
        CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        STEPPER_MARK();
        call();
        STEPPER_MARK();
        end();
        _exit(0);
    }
    int status;
    CHECK(pid > 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
        TEST_FAIL("the victim failed before the call: wait status %#x", (unsigned)status);
    }
    CHECK(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
    return pid;
}

static inline void stepper_kill(pid_t pid)
{
    int status;
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* At the mark that ends the path: lets it run out. */
static inline void stepper_finish(pid_t pid)
{
    int status;
    const uint64_t past_mark = stepper_address(pid) + 1;
    CHECK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), past_mark) == 0);
    CHECK(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

/* Memory for so many. Not of the heap: what this process does there its children find there, and no two of
   them would find the same. */
static inline void *stepper_memory(uint64_t count, size_t bytes)
{
    void *memory = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* How often each address was come to: open addressing. */
struct stepper_count {
    uint64_t address;
    uint32_t times;
};

/* Where to step from, for each point: a breakpoint's stops are counted from the beginning. */
static inline void stepper_plan(struct stepper_path *path)
{
    uint32_t size = 1024;
    while (size < 2 * path->length) {
        size *= 2;
    }
    struct stepper_count *counts = stepper_memory(size, sizeof(*counts));
    for (uint32_t k = 0; k <= path->length; k++) {
        struct stepper_step *step = &path->steps[k];
        uint32_t i = (uint32_t)(step->address * 0x9e3779b97f4a7c15u >> 40) & (size - 1);
        while (counts[i].address != 0 && counts[i].address != step->address) {
            i = (i + 1) & (size - 1);
        }
        counts[i].address = step->address;
        step->iteration = k > 0 && step[-1].address == step->address;
        step->earlier = step->iteration ? counts[i].times - 1 : counts[i].times++;
        if (k > 0 && (step->iteration || step[-1].cost <= step->earlier)) {
            step->from = step[-1].from;
            step->cost = step[-1].cost + 1;
        } else {
            step->from = k;
            step->cost = k > 0 ? step->earlier + 1 : 0;
        }
    }
    munmap(counts, size * sizeof(*counts));
}

/* Steps from the beginning to the end, and records the path. `changes`: look for them, too. */
static inline void stepper_record(pid_t pid, struct stepper_path *path, bool changes)
{
    path->length = path->changes = path->system_calls = 0;
    bool changed = false;
    if (path->steps == NULL) {
        path->steps = stepper_memory(STEPPER_LENGTH_MAX + 1, sizeof(*path->steps));
    }
    if (changes) {
        (void)world_changed(); /* what getting ready did */
    }
    for (;; path->length++) {
        struct stepper_step *step = &path->steps[path->length];
        *step = (struct stepper_step){.address = stepper_address(pid), .changed = changed};
        path->changes += changed;
        const uint8_t *text = stepper_text(step->address);
        if (text[0] == INT3) {
            break;
        }
        step->system_call = text[0] == SYSCALL_FIRST && text[1] == SYSCALL_SECOND;
        path->system_calls += step->system_call;
        CHECK(path->length < STEPPER_LENGTH_MAX);
        stepper_one(pid);
        changed = changes && world_changed();
    }
    stepper_plan(path);
}

static inline bool stepper_break_at(pid_t pid, uint64_t address)
{
    const uint64_t enabled = 1; /* breakpoint 0, on execution */
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), address) == 0 &&
           ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), enabled) == 0;
}

/*
 * From the beginning to a point of the path. False: the process did not come to the recorded address. The C
 * library goes another way now and then, for bytes behind the end of a string, which are a file's times or the
 * like. To be tried again with `stepwise`: then it is stopped after so many instructions, wherever that is.
 */
static inline bool stepper_go(pid_t pid, const struct stepper_path *path, struct stepper_point to,
                              bool stepwise)
{
    CHECK(to.k <= path->length);
    uint32_t at = stepwise ? 0 : path->steps[to.k].from;
    if (at > 0 && stepper_break_at(pid, path->steps[at].address)) {
        for (uint32_t times = 0; times <= path->steps[at].earlier; times++) {
            CHECK_INT(stepper_resume(pid, PTRACE_CONT), SIGTRAP);
            if (stepper_address(pid) != path->steps[at].address) {
                return false; /* came to the end */
            }
        }
        CHECK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0) == 0);
    } else {
        at = 0; /* this machine has no breakpoints: slower, nothing else */
    }
    for (; at < to.k && stepper_text(stepper_address(pid))[0] != INT3; at++) {
        stepper_one(pid);
    }
    if (!stepwise && stepper_address(pid) != path->steps[to.k].address) {
        return false;
    }
    for (int stops = 0; stops < (int)to.stop; stops++) {
        if (stepper_resume(pid, PTRACE_SYSCALL) != (SIGTRAP | 0x80)) {
            return false; /* was no system call */
        }
    }
    return true;
}

#endif
