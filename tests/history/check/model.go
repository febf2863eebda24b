package main

import (
	"math"

	"github.com/anishathalye/porcupine"
)

// What the store promises of time, and how late it may be. Nothing is ever early.
const (
	// Retention is kept in whole seconds of the store's clock, its start and its length rounded up.
	retentionUnit = 1000 * nsPerMs
	// Retention and leases are over by a margin; the clocks of two processes differ by a distance at most.
	margin        = 100 * nsPerMs
	clockDistance = 70 * nsPerMs
	// For so long a process may believe another alive that is dead: its cached answer, and a tick.
	deathLate = (10 + 10) * nsPerMs
)

const never = math.MaxInt64

// window is when something happens: at `from` at the earliest, at `to` at the latest.
type window struct{ from, to int64 }

// may tells whether it can have happened when op took effect, must whether it had.
func (w window) may(op *operation) bool  { return op.returned >= w.from }
func (w window) must(op *operation) bool { return op.called > w.to }

var notEver = window{never, never}

type state int

const (
	absent state = iota
	pending
	orphaned
	done
)

// record is what the store knows of a key. A comparable value: Porcupine compares states.
type record struct {
	state   state
	attempt int
	owner   int    // pending: the process
	token   int64  // pending: the claim that was granted
	lease   window // pending: its end
	ttl     int64  // as claimed; forever
	claimed window // the record's first claim
	value   int64  // done
	expires window // orphaned, done
}

// outcome is one way in which an operation can go: what it returns, and what it leaves.
type outcome struct {
	result  string
	attempt int
	value   int64
	next    record
}

// kept is the window in which a retention of ttl ends that begins within `start`.
func kept(start window, ttl int64) window {
	if ttl == forever {
		return notEver
	}
	whole := (ttl + retentionUnit - 1) / retentionUnit * retentionUnit
	return window{start.from + ttl, start.to + retentionUnit + whole + margin + clockDistance}
}

// seenExpired is the record after somebody looked and saw it expired, without changing it: others with
// another clock may still see it, no longer than the clocks differ.
func (r record) seenExpired(op *operation) record {
	if r.expires.to > op.returned+clockDistance {
		r.expires.to = op.returned + clockDistance
	}
	return r
}

func (op *operation) window() window { return window{op.called, op.returned} }

func (op *operation) leaseWindow() window {
	if op.lease == 0 {
		return notEver
	}
	return window{op.called + op.lease, op.returned + op.lease + margin + clockDistance}
}

// spec is the specification: of a key, given how processes ended.
type spec struct{ ended map[int]life }

// death is the window in which the death of the owner can be noticed.
func (s spec) death(owner int) window {
	if last, dead := s.ended[owner]; dead {
		return window{last.end, last.gone + deathLate}
	}
	return notEver
}

// ownerGone is the record of a pending key as one sees it who knows that the owner is dead. It is orphaned
// since somebody noticed, and that can be any time from the death on.
func (s spec) ownerGone(r record) record {
	r.state = orphaned
	r.expires = kept(window{s.death(r.owner).from, never}, r.ttl)
	r.expires.to = never
	return r
}

// outcomes lists how op can go on a key that is r.
func (s spec) outcomes(r record, op *operation) []outcome {
	switch op.call {
	case "claim":
		return s.claim(r, op)
	case "lookup":
		return s.lookup(r, op)
	case "forget":
		return s.forget(r, op)
	}
	if r.state != pending || r.token != op.token {
		return []outcome{{result: "lost", next: r}}
	}
	return []outcome{{result: "ok", next: end(r, op)}}
}

func (s spec) claim(r record, op *operation) []outcome {
	fresh := record{state: pending, attempt: 1, owner: op.process, token: op.id,
		lease: op.leaseWindow(), ttl: op.ttl, claimed: op.window()}
	taken := r
	taken.state, taken.attempt, taken.owner, taken.token = pending, r.attempt+1, op.process, op.id
	taken.lease, taken.expires = op.leaseWindow(), window{}
	claimed := outcome{result: "claimed", attempt: 1, next: fresh}
	reclaimed := outcome{result: "reclaimed", attempt: taken.attempt, next: taken}
	var all []outcome
	switch r.state {
	case absent:
		all = append(all, claimed)
	case pending:
		death := s.death(r.owner)
		if !death.must(op) && !r.lease.must(op) {
			all = append(all, outcome{result: "busy", attempt: r.attempt, next: r})
		}
		if death.may(op) || r.lease.may(op) {
			all = append(all, reclaimed)
		}
		if death.may(op) && s.ownerGone(r).expires.may(op) {
			all = append(all, claimed)
		}
	case orphaned:
		if !r.expires.must(op) {
			all = append(all, reclaimed)
		}
		if r.expires.may(op) {
			all = append(all, claimed)
		}
	case done:
		if !r.expires.must(op) {
			all = append(all, outcome{result: "done", value: r.value, next: r})
		}
		if r.expires.may(op) {
			all = append(all, claimed)
		}
	}
	return all
}

// end is the record after its owner completed, released, abandoned or renewed it.
func end(r record, op *operation) record {
	after := r
	after.owner, after.token, after.lease = 0, 0, window{}
	switch op.call {
	case "renew":
		after = r
		after.lease = op.leaseWindow()
	case "complete":
		after.state, after.attempt, after.value = done, 0, op.value
		after.expires = kept(op.window(), op.ttl)
		if op.ttl == ttlSame {
			after.expires = kept(op.window(), r.ttl)
			// As the claim asked, from its time on; from now on if that is over already.
			if claims := kept(r.claimed, r.ttl); !claims.must(op) {
				after.expires.from = claims.from
			}
		}
	case "release":
		if r.attempt == 1 {
			return record{}
		}
		fallthrough // what an earlier attempt did is unknown
	case "abandon":
		after.state = orphaned
		after.expires = kept(op.window(), r.ttl)
	}
	return after
}

func (s spec) lookup(r record, op *operation) []outcome {
	var all []outcome
	switch r.state {
	case absent:
		return []outcome{{result: "absent"}}
	case pending:
		death := s.death(r.owner)
		if !death.must(op) {
			all = append(all, outcome{result: "pending", attempt: r.attempt, next: r})
		}
		if death.may(op) {
			// Nothing is changed by looking: others may believe the owner alive for a while yet.
			all = append(all, outcome{result: "orphaned", attempt: r.attempt, next: r})
			if gone := s.ownerGone(r); gone.expires.may(op) {
				all = append(all, outcome{result: "absent", next: gone.seenExpired(op)})
			}
		}
		return all
	}
	if !r.expires.must(op) {
		seen := outcome{result: "orphaned", attempt: r.attempt, next: r}
		if r.state == done {
			seen = outcome{result: "done", value: r.value, next: r}
		}
		all = append(all, seen)
	}
	if r.expires.may(op) {
		all = append(all, outcome{result: "absent", next: r.seenExpired(op)})
	}
	return all
}

func (s spec) forget(r record, op *operation) []outcome {
	var all []outcome
	switch r.state {
	case absent:
		return []outcome{{result: "absent"}}
	case pending:
		death := s.death(r.owner)
		if !death.must(op) {
			all = append(all, outcome{result: "busy", next: r})
		}
		if !death.may(op) {
			return all
		}
		r = s.ownerGone(r)
	}
	if !r.expires.must(op) {
		all = append(all, outcome{result: "ok"})
	}
	if r.expires.may(op) {
		all = append(all, outcome{result: "absent", next: r.seenExpired(op)})
	}
	return all
}

// step lists what the key can be after op, which returned what it returned.
func (s spec) step(state, input, _ interface{}) []interface{} {
	r, op := state.(record), input.(*operation)
	var next []interface{}
	if op.result == unknown {
		next = append(next, r)
	}
	for _, o := range s.outcomes(r, op) {
		if op.result == unknown ||
			o.result == op.result && o.attempt == op.attempt && (o.value == op.value || op.call == "complete") {
			next = append(next, o.next)
		}
	}
	return next
}

func (s spec) model() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{record{}} },
		Step: s.step,
	}
	return model.ToModel()
}
