package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// operation is one line of a history: a call, and what came of it.
type operation struct {
	call     string
	key      int
	process  int
	id       int64 // of this operation; a claim that is granted makes the token of this number
	called   int64 // ns
	returned int64 // ns; of one that is unknown: when its process was seen dead
	ttl      int64 // ns as asked; ttlSame, forever
	lease    int64 // ns as asked; 0: none
	token    int64 // the claim that is ended or renewed
	result   string
	attempt  int
	value    int64
}

// unknown is the result of an operation whose process was killed in it: it may have happened or not.
const unknown = "unknown"

const (
	ttlSame = 0
	forever = -1
)

// life is what is known of the end of a process. It lived until `end` at least; it was dead at `gone`.
type life struct{ end, gone int64 }

const nsPerMs = 1000000

// history is a recorded run: the operations of each key, and the ends of processes.
type history struct {
	keys  map[int][]operation
	ended map[int]life
}

// readHistory reads a file of lines
//
//	ended PROCESS END_NS GONE_NS
//	CALL KEY PROCESS ID CALLED_NS RETURNED_NS TTL_MS LEASE_MS TOKEN RESULT ATTEMPT VALUE
//
// Lines that begin with # are comments. Processes are told of before their operations.
func readHistory(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := &history{keys: map[int][]operation{}, ended: map[int]life{}}
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := h.add(fields); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", path, number, err)
		}
	}
	return h, lines.Err()
}

func (h *history) add(fields []string) error {
	const endedFields, operationFields = 4, 12
	numbers := make([]int64, len(fields))
	for i, field := range fields {
		if i == 0 || i == 9 {
			continue // words
		}
		number, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return err
		}
		numbers[i] = number
	}
	if fields[0] == "ended" && len(fields) == endedFields {
		h.ended[int(numbers[1])] = life{end: numbers[2], gone: numbers[3]}
		return nil
	}
	if len(fields) != operationFields {
		return fmt.Errorf("%d fields, expected %d", len(fields), operationFields)
	}
	op := operation{
		call: fields[0], key: int(numbers[1]), process: int(numbers[2]), id: numbers[3],
		called: numbers[4], returned: numbers[5], ttl: numbers[6], lease: numbers[7] * nsPerMs,
		token: numbers[8], result: fields[9], attempt: int(numbers[10]), value: numbers[11],
	}
	if op.ttl > 0 {
		op.ttl *= nsPerMs
	}
	if op.result == unknown {
		last, dead := h.ended[op.process]
		if !dead {
			return fmt.Errorf("process %d did not end, yet its %s did not return", op.process, op.call)
		}
		op.returned = last.gone
	}
	h.keys[op.key] = append(h.keys[op.key], op)
	return nil
}
