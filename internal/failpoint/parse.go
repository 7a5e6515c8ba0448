package failpoint

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// action is what happens at a point.
type action int

const (
	actNone action = iota
	actKill
	actError
)

// point is one element of the list: what happens at the n-th pass of a name.
type point struct {
	n   int
	act action
}

// points counts the passes of the names that matter. It is safe for concurrent use.
type points struct {
	mu     sync.Mutex
	armed  map[string][]point
	passes map[string]int // guarded by mu
}

// parse reads NAME[@N]=ACTION, separated by commas.
func parse(text string) (*points, error) {
	p := &points{armed: map[string][]point{}, passes: map[string]int{}}
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element == "" {
			continue
		}
		where, what, _ := strings.Cut(element, "=")
		name, count, counted := strings.Cut(where, "@")
		one := point{n: 1}
		var err error
		if counted {
			one.n, err = strconv.Atoi(count)
		}
		switch what {
		case "kill":
			one.act = actKill
		case "error":
			one.act = actError
		}
		if name == "" || err != nil || one.n < 1 || one.act == actNone {
			return nil, fmt.Errorf("%q is not NAME[@N]=kill or NAME[@N]=error", element)
		}
		p.armed[name] = append(p.armed[name], one)
	}
	return p, nil
}

// pass counts a pass of a name and says what happens at it.
func (p *points) pass(name string) action {
	if len(p.armed[name]) == 0 {
		return actNone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passes[name]++
	for _, one := range p.armed[name] {
		if one.n == p.passes[name] {
			return one.act
		}
	}
	return actNone
}
