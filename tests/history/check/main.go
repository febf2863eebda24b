// Check reads a history that tests/history/record.c has recorded, and asks Porcupine whether the operations
// of each key can have taken effect one after the other, each between its call and its return. It ends with
// 0 if all can, with 1 if those of some key can not, and with 2 if it could not find out.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	exitRejected = 1
	exitFailed   = 2
	// A key's history takes milliseconds. One that takes this long is not judged, and that is a failure.
	keyTimeout = 2 * time.Minute
)

func check(model porcupine.Model, operations []operation) porcupine.CheckResult {
	all := make([]porcupine.Operation, len(operations))
	for i := range operations {
		op := &operations[i]
		all[i] = porcupine.Operation{ClientId: op.process, Input: op, Call: op.called, Return: op.returned}
	}
	return porcupine.CheckOperationsTimeout(model, all, keyTimeout)
}

// checkAll checks each key, and returns the keys by verdict.
func checkAll(h *history) map[porcupine.CheckResult][]int {
	model := spec{h.ended}.model()
	keys := make(chan int)
	verdicts := map[porcupine.CheckResult][]int{}
	var lock sync.Mutex
	var workers sync.WaitGroup
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for key := range keys {
				verdict := check(model, h.keys[key])
				lock.Lock()
				verdicts[verdict] = append(verdicts[verdict], key)
				lock.Unlock()
			}
		}()
	}
	for key := range h.keys {
		keys <- key
	}
	close(keys)
	workers.Wait()
	return verdicts
}

// overlapping counts the operations that were called before an earlier one of their key had returned.
func overlapping(operations []operation) (count int) {
	sort.Slice(operations, func(i, j int) bool { return operations[i].called < operations[j].called })
	last := int64(0)
	for _, op := range operations {
		if op.called <= last {
			count++
		}
		if op.returned > last {
			last = op.returned
		}
	}
	return count
}

// explain prints a key's history up to where no order of its operations can be found.
func explain(h *history, key int) {
	operations := h.keys[key]
	model := spec{h.ended}.model()
	shortest := sort.Search(len(operations), func(n int) bool {
		return check(model, operations[:n]) == porcupine.Illegal
	})
	const shown = 25
	begin := 0
	if shortest > shown {
		begin = shortest - shown
	}
	fmt.Printf("key %d: no order of its first %d operations; the last of them (us from the first):\n", key, shortest)
	zero := operations[begin].called
	for _, op := range operations[begin:shortest] {
		fmt.Printf("  %9.1f to %9.1f  process %-4d %-8s of %-7d id %-7d ttl %-6d lease %-4d %s attempt %d value %d\n",
			float64(op.called-zero)/1e3, float64(op.returned-zero)/1e3, op.process, op.call, op.token, op.id,
			op.ttl/nsPerMs, op.lease/nsPerMs, op.result, op.attempt, op.value)
		if last, dead := h.ended[op.process]; dead {
			fmt.Printf("%40s process %d ended from %.1f to %.1f\n", "", op.process,
				float64(last.end-zero)/1e3, float64(last.gone-zero)/1e3)
		}
	}
}

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: check HISTORY") }
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(exitFailed)
	}
	h, err := readHistory(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(exitFailed)
	}
	total, cut, overlap, longest := 0, 0, 0, 0
	for _, operations := range h.keys {
		total += len(operations)
		overlap += overlapping(operations)
		if len(operations) > longest {
			longest = len(operations)
		}
		for _, op := range operations {
			if op.result == unknown {
				cut++
			}
		}
	}
	verdicts := checkAll(h)
	rejected, undecided := verdicts[porcupine.Illegal], verdicts[porcupine.Unknown]
	sort.Ints(rejected)
	if len(rejected) > 0 {
		explain(h, rejected[0])
	}
	fmt.Printf("checked %d operations on %d keys (%d at most on one), %d of them overlapping, %d unknown: "+
		"%d keys rejected, %d undecided\n", total, len(h.keys), longest, overlap, cut, len(rejected), len(undecided))
	switch {
	case len(rejected) > 0:
		os.Exit(exitRejected)
	case len(undecided) > 0 || total == 0:
		os.Exit(exitFailed)
	}
}
