package m365sim

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// window is a listing that is asked for, with the place where a page begins.
type window struct {
	feed       *feed
	echo       string // content type as the client wrote it
	start, end string // as the client wrote them, or filled in
	from, to   time.Time
	asOf       time.Time // all pages show what existed when the first was asked for
	part, n    int       // where the page begins
	partial    bool      // too wide a window that is answered incompletely
}

// maxWindow is the longest window of a listing.
const maxWindow = 24 * time.Hour

// parseTime reads the forms of time that the service accepts.
func parseTime(text string) (time.Time, bool) {
	text = strings.TrimSuffix(text, "Z")
	for _, layout := range []string{apiTime, "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// readWindow checks the parameters of a listing.
func (s *Sim) readWindow(o *operation) (w window, refusal *reply) {
	if w.feed, refusal = o.contentTypeOf(); refusal != nil {
		return w, refusal
	}
	now := s.now()
	w.echo, w.start, w.end, w.asOf = o.query["contenttype"], o.query["starttime"], o.query["endtime"], s.produced()
	if (w.start == "") != (w.end == "") {
		return w, problemReply(http.StatusBadRequest, "AF20030", "Start time and end time must both be specified (or both omitted).")
	}
	if w.start == "" {
		w.start, w.end = now.Add(-maxWindow).Format(apiTime), now.Format(apiTime)
	}
	var okFrom, okTo bool
	w.from, okFrom = parseTime(w.start)
	w.to, okTo = parseTime(w.end)
	if !okFrom || !okTo {
		return w, problemReply(http.StatusBadRequest, "AF20002", "Invalid parameter type: startTime or endTime. Expected type: datetime")
	}
	tooWide := w.to.Sub(w.from) > maxWindow
	w.partial = tooWide && s.scenario.WideWindow == "partial"
	if !w.from.Before(w.to) || tooWide && !w.partial || w.from.Before(now.Add(-lookBack)) {
		return w, problemReply(http.StatusBadRequest, "AF20055", "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart, with the start time prior to end time and start time no more than 7 days in the past. StartTime:"+
			w.from.Format(apiTime)+", EndTime:"+w.to.Format(apiTime))
	}
	if token := o.query["nextpage"]; token != "" {
		if o.shape == StaleNext || !w.resume(s.scenario.Seed, token) {
			return w, problemReply(http.StatusBadRequest, "AF20031", "Invalid nextPage Input: "+clip(token)+".")
		}
	}
	return w, nil
}

// pageToken names the place (part, n) of the next page. Its form is that of Microsoft's sample 2015101900R022885001761:
// hour, R, digits; the last five are a check over the window.
func (w window) pageToken(seed uint64, part, n int) string {
	body := fmt.Sprintf("%sR%d%012d%013d", w.asOf.UTC().Format("2006010215"), part, n, w.asOf.UnixMilli())
	return body + fmt.Sprintf("%05d", w.checksum(seed, body))
}

func (w window) checksum(seed uint64, body string) uint64 {
	return mixText(mixText(mixText(seed, w.feed.tenant.ID+w.feed.contentType), w.start+" "+w.end), body) % 100_000
}

// resume continues at a page token; false means that the token is not one for this window.
func (w *window) resume(seed uint64, token string) bool {
	const length = 10 + 1 + 1 + 12 + 13 + 5
	if len(token) != length || token[10] != 'R' {
		return false
	}
	check, err := strconv.ParseUint(token[length-5:], 10, 64)
	if err != nil || check != w.checksum(seed, token[:length-5]) {
		return false
	}
	part, errPart := strconv.Atoi(token[11:12])
	n, errN := strconv.Atoi(token[12:24])
	asOf, errTime := strconv.ParseInt(token[24:37], 10, 64)
	if errPart != nil || errN != nil || errTime != nil || part >= len(w.feed.parts) {
		return false
	}
	w.part, w.n, w.asOf = part, n, time.UnixMilli(asOf)
	return true
}

// listed is an element of a listing.
type listed struct {
	blobKey
	cut
}

// collect returns the elements of one page and where the next begins.
func (s *Sim) collect(w window, sub *subscription) (items []listed, part, n int, more bool) {
	items = make([]listed, 0, s.scenario.PageSize)
	for part = w.part; part < len(w.feed.parts); part++ {
		p := w.feed.parts[part]
		n = max(p.search(w.from), p.first)
		if part == w.part {
			n = max(n, w.n)
		}
		for end := p.search(w.to); n < end; n++ {
			if len(items) >= s.scenario.PageSize {
				return items, part, n, true
			}
			if k := (blobKey{w.feed, part, n}); s.shows(w, k, sub) {
				items = s.appendCuts(items, w, k)
			}
		}
	}
	return items, 0, 0, false
}

// shows reports whether a blob of the window is in its listing.
func (s *Sim) shows(w window, k blobKey, sub *subscription) bool {
	appears := k.appears(s.scenario.Late)
	return !appears.After(w.asOf) && k.expires(s.scenario.Expiry).After(w.asOf) && !sub.covers(appears) &&
		(!w.partial || k.draw(forWideWindow) > 0.4)
}

// appendCuts adds a blob as the listing for this start time cuts it: whole; in two halves for starts in odd minutes;
// only its second half when the listing starts at the blob's own creation.
func (s *Sim) appendCuts(items []listed, w window, k blobKey) []listed {
	switch {
	case !s.scenario.Recut:
		return append(items, listed{k, whole})
	case w.from.Equal(k.created().Truncate(time.Second)):
		return append(items, listed{k, secondHalf})
	case w.from.Minute()%2 == 1:
		return append(items, listed{k, firstHalf}, listed{k, secondHalf})
	}
	return append(items, listed{k, whole})
}

// listContent answers subscriptions/content.
func (s *Sim) listContent(o *operation) *reply {
	w, refusal := s.readWindow(o)
	if refusal != nil {
		return refusal
	}
	sub, refusal := s.subscribed(o, w.feed)
	if refusal != nil {
		return refusal
	}
	items, part, n, more := s.collect(w, sub)
	switch o.shape {
	case EmptyPage:
		items, part, n, more = nil, w.part, w.n, true
	case RepeatNext: // the same page again, for ever
		part, n, more = w.part, w.n, true
	default: // nothing else changes which blobs are listed
	}
	if s.scenario.ShufflePages {
		r := rng(mix(mixText(s.scenario.Seed, w.start), forShuffle, uint64(len(items))))
		for i := len(items) - 1; i > 0; i-- {
			j := r.below(i + 1)
			items[i], items[j] = items[j], items[i]
		}
	}
	base := o.origin
	if o.shape == ForeignURI {
		base = "https://" + s.scenario.ForeignHost
	}
	o.names = items
	r := bodyReply(http.StatusOK, "application/json; charset=utf-8", s.listing(items, w, base))
	if next := s.nextPage(o, w, part, n, more); next != "" {
		r.set("NextPageUri", next)
	}
	return r
}

// listing writes the elements; the order of keys varies from blob to blob.
func (s *Sim) listing(items []listed, w window, base string) []byte {
	const stamp = "2006-01-02T15:04:05.000Z"
	prefix := base + "/api/v1.0/" + w.feed.tenant.ID + "/activity/feed/audit/"
	dst := append(make([]byte, 0, 2+len(items)*520), '[')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		id := item.contentID(item.cut)
		uri := fmt.Sprintf("%q:%q", "contentUri", prefix+id)
		head := fmt.Sprintf("%q:%q,%q:%q", "contentType", w.echo, "contentId", id)
		created := fmt.Sprintf("%q:%q", "contentCreated", item.created().Format(stamp))
		expires := fmt.Sprintf("%q:%q", "contentExpiration", item.expires(s.scenario.Expiry).Format(stamp))
		members := []string{head, uri, created, expires}
		if item.n%3 == 1 {
			members = []string{uri, head, expires, created}
		}
		dst = append(append(append(dst, '{'), strings.Join(members, ",")...), '}')
	}
	return append(dst, ']')
}

// nextPage is the address of the next page, without a PublisherIdentifier, or "".
func (s *Sim) nextPage(o *operation, w window, part, n int, more bool) string {
	version, endName, base := "v1.0", "endTime", o.origin
	switch o.shape {
	case ForeignNext:
		base, more = "https://"+s.scenario.ForeignHost, true
	case NextV1:
		version = "v1"
	case NextEndtime:
		endName = "endtime"
	default: // nothing else changes the address
	}
	if !more {
		return ""
	}
	return base + "/api/" + version + "/" + o.tenant.ID + "/activity/feed/subscriptions/content?contentType=" +
		url.QueryEscape(w.echo) + "&startTime=" + url.QueryEscape(w.start) + "&" + endName + "=" + url.QueryEscape(w.end) +
		"&nextPage=" + w.pageToken(s.scenario.Seed, part, n)
}
