package normalize

import "sync"

// ruleIndex finds the class rule of a record: the first row of the table whose record type and pattern match. What the
// patterns decided is remembered per record type and operation.
type ruleIndex struct {
	rules    []OCSFRule
	byType   map[int][]*OCSFRule    // audit rules that list the record type, in order
	byFamily map[string][]*OCSFRule // rules of the other sources, and the audit rules for any other record type
	mu       sync.RWMutex
	known    map[ruleKey]*OCSFRule // guarded by mu
}

type ruleKey struct {
	family     string
	recordType int
	operation  string
}

// maxKnownRules bounds the memory, as operations are text from outside.
const maxKnownRules = 8192

// The families that are chosen by something else than the record type.
const (
	familyOther         = "other"
	familyMessageTrace  = "message_trace"
	familyMDAActivity   = "mda_activity"
	familyMDAAlert      = "mda_alert"
	familyServiceHealth = "service_health"
)

func newRuleIndex() (*ruleIndex, error) {
	rules, err := loadRules()
	if err != nil {
		return nil, err
	}
	x := &ruleIndex{rules: rules, byType: map[int][]*OCSFRule{}, byFamily: map[string][]*OCSFRule{}, known: map[ruleKey]*OCSFRule{}}
	for i := range rules {
		r := &rules[i]
		for _, t := range r.types {
			x.byType[t] = append(x.byType[t], r)
		}
		if r.types == nil {
			x.byFamily[r.Family] = append(x.byFamily[r.Family], r)
		}
	}
	return x, nil
}

// audit finds the rule of an audit record; operation is trimmed. There is always one: the last row takes everything.
func (x *ruleIndex) audit(recordType int, operation string) *OCSFRule {
	rules := x.byType[recordType]
	if rules == nil {
		return x.family(familyOther, operation)
	}
	return x.find(rules, ruleKey{recordType: recordType, operation: operation})
}

// family finds the rule of a record of another source.
func (x *ruleIndex) family(name, operation string) *OCSFRule {
	return x.find(x.byFamily[name], ruleKey{family: name, operation: operation})
}

func (x *ruleIndex) find(rules []*OCSFRule, key ruleKey) *OCSFRule {
	x.mu.RLock()
	rule := x.known[key]
	x.mu.RUnlock()
	if rule != nil {
		return rule
	}
	for _, r := range rules {
		if r.pattern.MatchString(key.operation) {
			rule = r
			break
		}
	}
	if rule != nil && len(key.operation) <= 256 {
		x.mu.Lock()
		if len(x.known) < maxKnownRules {
			x.known[key] = rule
		}
		x.mu.Unlock()
	}
	return rule
}
