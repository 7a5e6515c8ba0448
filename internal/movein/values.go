package movein

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/m365"
	"sluice/internal/option"
)

// bareVariable is ${NAME}, which Filebeat, Docker Compose and envsubst replace by an environment variable. No client
// secret looks like it: Microsoft makes them of letters, digits and ~ . _ -.
var bareVariable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// placeholder is what stands in the examples of the manuals: <tenant_id>.
var placeholder = regexp.MustCompile(`^<[^<>]*>$`)

// escaped writes a literal text so that Sluice reads it as one.
func escaped(text string) string { return strings.ReplaceAll(text, "${", "$${") }

// value reads a text for option key: literal, or a reference. Filebeat's own rules for references apply to its
// documents. It is false, and has been reported, when there is no usable text; nil and null are false without a report.
func (m *mover) value(d *draft, key string, n *node) (string, bool) {
	if n == nil || n.shape == nothing || n.shape == scalar && strings.TrimSpace(n.text) == "" {
		return "", false
	}
	if n.shape != scalar {
		m.wrong(d, key, n, "must be a single value")
		return "", false
	}
	text := n.text
	if key != keySecret {
		text = strings.TrimSpace(text)
	}
	if placeholder.MatchString(text) {
		m.wrong(d, key, n, "is still the placeholder of the manual: fill it in, or delete the line if it is optional")
		return "", false
	}
	if m.kind == Filebeat {
		return m.beatText(d, key, n, text)
	}
	if parts, err := option.ParseReferences(text); err == nil && slices.ContainsFunc(parts, func(p option.Part) bool { return p.Kind != option.Literal }) {
		return text, true
	}
	if v := bareVariable.FindStringSubmatch(text); v != nil {
		return "${env:" + v[1] + "}", true
	}
	return escaped(text), true
}

// move reads n as a text and sets option key to it.
func (m *mover) move(d *draft, key string, n *node, note string) {
	if text, ok := m.value(d, key, n); ok {
		if m.kind == Filebeat && note == "" && option.HasReference(text) {
			note = "looked up in the environment of the server; a value of Filebeat's keystore must be set there"
		}
		d.set(key, text, n, note)
	}
}

// plain is value for options whose text is looked into and therefore cannot be a reference.
func (m *mover) plain(d *draft, key string, n *node) (string, bool) {
	text, ok := m.value(d, key, n)
	if ok && strings.Contains(text, "${") {
		m.wrong(d, key, n, "must be written out: it decides what the connector becomes and cannot be a reference")
		return "", false
	}
	return text, ok
}

// truth reads true and false, also as the texts that settings of apps hold.
func (m *mover) truth(d *draft, key string, n *node) (value, ok bool) {
	text, ok := m.plain(d, key, n)
	if !ok {
		return false, false
	}
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, true
	case "false", "no", "off", "0":
		return false, true
	}
	m.wrong(d, key, n, "must be true or false")
	return false, false
}

// enabled moves a switch. true is the default and not written.
func (m *mover) enabled(d *draft, n *node) {
	if on, ok := m.truth(d, keyEnabled, n); ok {
		d.set(keyEnabled, on, n, "")
	}
}

// texts reads a single text or a list of texts. With commas, a text is taken apart at them.
func (m *mover) texts(d *draft, key string, n *node, commas bool) []*node {
	if n == nil || n.shape == nothing {
		return nil
	}
	items := []*node{n}
	if n.shape == list {
		items = n.items
	}
	var out []*node
	for _, item := range items {
		text, ok := m.plain(d, key, item)
		if !ok {
			continue
		}
		parts := []string{text}
		if commas {
			parts = strings.Split(text, ",")
		}
		for _, p := range parts {
			if p = strings.TrimSpace(p); p != "" {
				c := *item
				c.text = p
				out = append(out, &c)
			}
		}
	}
	return out
}

// The bounds of option interval (package config declares them).
const (
	minInterval = time.Minute
	maxInterval = 24 * time.Hour
)

// interval moves a time between two looks, brought between what Sluice allows.
func (m *mover) interval(d *draft, n *node, every time.Duration) {
	note := ""
	switch {
	case every < minInterval:
		every, note = minInterval, "the shortest interval is 1m"
	case every > maxInterval:
		every, note = maxInterval, "the longest interval is 24h"
	}
	if earlier, ok := d.settings[keyInterval]; ok {
		before, err := option.ParseDuration(d.text(keyInterval))
		if err == nil && before <= every {
			every = before
		}
		earlier.value, earlier.note = option.FormatDuration(every), "a connector has one interval: the shortest of all"
		earlier.also = append(earlier.also, n)
		d.settings[keyInterval] = earlier
		return
	}
	d.set(keyInterval, option.FormatDuration(every), n, note)
}

// seconds reads a positive number of seconds.
func (m *mover) seconds(d *draft, key string, n *node) (time.Duration, bool) {
	text, ok := m.plain(d, key, n)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0) || f > math.MaxInt32 {
		m.wrong(d, key, n, "must be a number of seconds greater than 0")
		return 0, false
	}
	return time.Duration(f * float64(time.Second)).Round(time.Second), true
}

// perMinute moves a ceiling for requests.
func (m *mover) perMinute(d *draft, n *node, factor float64) {
	text, ok := m.plain(d, keyRequestsMinute, n)
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0) || f*factor > 100_000 {
		m.wrong(d, keyRequestsMinute, n, "must be a number greater than 0 and at most %v", 100_000/factor)
		return
	}
	d.set(keyRequestsMinute, max(1, int64(f*factor)), n, "")
}

// utc reads a time that is UTC unless it says otherwise, in the notations that people write.
func utc(text string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05", "2006-01-02T15:04",
		"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// startTime moves the time to begin at. Of several the earliest counts: collecting more is no harm, nothing comes twice.
func (m *mover) startTime(d *draft, n *node) {
	text, ok := m.plain(d, keyStartTime, n)
	if !ok {
		return
	}
	t, ok := utc(text)
	if !ok || t.Year() > 9999 {
		m.wrong(d, keyStartTime, n, "must be a time such as 2026-01-31T08:00:00Z")
		return
	}
	const note = "Microsoft still serves the last seven days; nothing older comes"
	earlier, ok := d.settings[keyStartTime]
	if !ok {
		d.set(keyStartTime, t.Format(time.RFC3339), n, note)
		return
	}
	if before, ok := utc(d.text(keyStartTime)); ok && t.Before(before) {
		earlier.value = t.Format(time.RFC3339)
	}
	earlier.note = "a connector has one start_time: the earliest of all; " + note
	earlier.also = append(earlier.also, n)
	d.settings[keyStartTime] = earlier
}

// contentTypes moves a list of content types, which are compared without letter case.
func (m *mover) contentTypes(d *draft, from *node, items []*node) {
	var names []string
	for _, item := range items {
		name, ok := contentType(item.text)
		if !ok {
			m.wrong(d, keyContentTypes, item, "unknown content type %s, known are %s", quoted(item.text), strings.Join(contentTypeNames(), ", "))
			continue
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		d.set(keyContentTypes, names, from, "")
	}
}

// contentTypeNames are the feeds of the service (spec/management-activity-api.md section 1), in display order.
func contentTypeNames() []string {
	return []string{"Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"}
}

func contentType(name string) (string, bool) {
	for _, known := range contentTypeNames() {
		if strings.EqualFold(known, name) {
			return known, true
		}
	}
	return "", false
}

// cloud moves the hosts of the API and of the sign-in service: to a plan where they are those of one, else as they are.
// Either node may be nil.
func (m *mover) cloud(d *draft, api, login *node) {
	plan, _ := m365.PlanByName(d.text(keyPlan))
	if text, ok := m.plain(d, keyEndpoint, api); ok {
		address := withScheme(text)
		i := slices.IndexFunc(m365.Plans(), func(p m365.Plan) bool { return strings.EqualFold(p.APIURL, address) })
		if i >= 0 {
			plan = m365.Plans()[i]
			d.set(keyPlan, plan.Name, api, "")
		} else {
			d.set(keyEndpoint, address, api, "no host of a known plan; it is also the audience of the access token")
			d.set(keyAudience, address, nil, "")
		}
	}
	if text, ok := m.plain(d, keyAuthority, login); ok {
		address := withScheme(text)
		if strings.EqualFold(address, plan.LoginURL) {
			m.take(login, keyPlan+" "+plan.Name, "it is the sign-in host of the plan")
			return
		}
		d.set(keyAuthority, address, login, "")
	}
}

// authority is the sign-in address of a draft, "" when it cannot be told.
func (d *draft) authority() string {
	if a := d.text(keyAuthority); a != "" {
		return a
	}
	plan, _ := m365.PlanByName(d.text(keyPlan))
	return plan.LoginURL
}

// withScheme makes an address of a host name, as the other collectors do, without the slash at its end.
func withScheme(text string) string {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	return strings.TrimRight(text, "/")
}

// quoted quotes a text for a message and cuts what is too long to read.
func quoted(text string) string {
	const most = 60
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "..."
	}
	return strconv.Quote(text)
}
