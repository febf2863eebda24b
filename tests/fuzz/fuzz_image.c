/*
 * fuzz_image.c - a libFuzzer target: a damaged region crashes nobody. An input damages a copy of a region
 * (step.h), which is then opened and called in every way (calls.h). The last lines of its output count the
 * images, those of a template as it was left out, and the statuses of the calls.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "check.h"
#include "host.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t images;
static uint64_t images_of[TEMPLATES];

static void print_figures(void)
{
    printf("images %" PRIu64 "\n", images);
    for (uint32_t i = 0; i < TEMPLATES; i++) {
        printf("template %s %" PRIu64 "\n", templates[i].name, images_of[i]);
    }
    answers_print();
}

/* What a template is before it is damaged: sound. */
static void check_templates(void)
{
    for (uint32_t i = 0; i < TEMPLATES; i++) {
        struct idem_report report = {.size = sizeof report};
        idem_store *store;
        image_write(&templates[i].image);
        *host_now_ms = templates[i].now_ms;
        EXPECT(idem_open(image_path, NULL, &store) == IDEM_OK);
        struct idem__region *region = guard_begin(store);
        EXPECT(idem_check(store, &report) == IDEM_OK);
        guard_end();
        EXPECT(idem_close(store) == IDEM_OK);
        host_forget(region);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    host_begin();
    templates_begin();
    image_file_begin();
    check_templates();
    atexit(print_figures);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct image image;
    struct program program;
    if (image.bytes == NULL) {
        image_begin(&image);
    }
    program_read(&program, data, size);
    *host_now_ms = program.template->now_ms;
    image_copy(&image, &program.template->image);
    program_apply(&program, 0, program.late, &image);
    image_write(&image);
    calls_on_file(&program);
    if (program.count > 0) {
        images++;
        images_of[program.template - templates]++;
    }
    return 0;
}
