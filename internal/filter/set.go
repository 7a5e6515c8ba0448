package filter

// Set is the filters of one connector, in the order of its list. It is immutable and safe for concurrent use. A nil Set
// and one without filters keep everything.
type Set struct {
	filters []*Filter
	include string // name of the first include filter; "" when there is none
}

// NewSet makes a set of filters.
func NewSet(filters ...*Filter) *Set {
	s := &Set{filters: filters}
	for _, f := range filters {
		if f.spec.Mode == Include {
			s.include = f.spec.Name
			break
		}
	}
	return s
}

// Empty reports whether the set keeps every record, so that the caller need not make a View.
func (s *Set) Empty() bool { return s == nil || len(s.filters) == 0 }

// Filters returns the filters in their order. The caller must not change the slice.
func (s *Set) Filters() []*Filter {
	if s == nil {
		return nil
	}
	return s.filters
}

// Decide reports whether a record is kept, and by which filter it is dropped otherwise: the first exclude filter that
// matches, or the first include filter when none of the include filters matches. A filter that cannot decide about a
// record neither drops it nor lets others drop it for want of an include.
func (s *Set) Decide(v *View) (keep bool, by string) {
	if s.Empty() || !v.object() {
		return true, ""
	}
	included := s.include == ""
	for _, f := range s.filters {
		if f.spec.Mode == Include {
			included = included || f.match(v) != unmatched
			continue
		}
		if f.match(v) == matched {
			return false, f.spec.Name
		}
	}
	if !included {
		return false, s.include
	}
	return true, ""
}
