package m365sim

import (
	"context"
	"time"
)

// BlobTruth is what the simulator knows of one blob that has appeared: what it holds, and what clients were told of it. Where
// Truth says what a perfect collector ends with, this says it for a collector that was away for a while: a blob that expired in that
// time, or that a client was told is gone, may be missing, but then the collector has to know that.
type BlobTruth struct {
	Tenant      string    `json:"tenant"`
	ContentType string    `json:"content_type"`
	ContentID   string    `json:"content_id"` // of the whole blob
	Created     time.Time `json:"created"`
	Appears     time.Time `json:"appears"` // from then on it is listed
	Expires     time.Time `json:"expires"`
	Listed      int       `json:"listed"`   // undamaged pages of listings that named it
	Served      int       `json:"served"`   // undamaged answers with its records, also with a part of them
	Outdated    bool      `json:"outdated"` // it has grown since it was last served
	Gone        bool      `json:"gone"`     // a client was told once that it does not exist or has expired by a fault
	Readable    bool      `json:"readable"`
	Records     int       `json:"records"`   // array elements, repeats and malformed ones included
	Malformed   int       `json:"malformed"` // array elements that are no records
	Items       []Item    `json:"-"`
}

// Item is an array element of a blob.
type Item struct {
	ID        string // expected identity without the mark of a variant; "" when malformed
	Raw       []byte // its bytes
	Malformed bool
}

// Blobs calls yield for every blob that has appeared, readable or not, in the order of tenants, content types and
// creation. Readable means that a client could list and read it now. Only withItems fills in what the blobs hold (Records, Malformed,
// Items); the bytes of the items are yield's to keep. An error of yield ends the walk and is returned.
func (s *Sim) Blobs(ctx context.Context, withItems bool, yield func(BlobTruth) error) error {
	for _, t := range s.order {
		for _, f := range t.feeds {
			if err := s.blobsOf(ctx, f, withItems, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sim) blobsOf(ctx context.Context, f *feed, withItems bool, yield func(BlobTruth) error) error {
	asOf, now, subs := s.produced(), s.now(), s.subscriptionsOf(f)
	for i, p := range f.parts {
		for n := p.search(s.started.Add(-lookBack)); n < p.end(asOf); n++ {
			k := blobKey{f, i, n}
			if k.appears(s.scenario.Late).After(asOf) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			b := s.describe(k)
			if withItems {
				s.fill(&b, k, asOf)
			}
			b.Outdated = b.Served > 0 && s.grown(k, asOf) && !s.ledger.hasWhole(k)
			b.Readable = s.listable(k, asOf, subs) && s.readable(k, asOf) && now.Before(b.Expires)
			if err := yield(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe makes the truth of a blob but for Readable and what it holds.
func (s *Sim) describe(k blobKey) BlobTruth {
	b := BlobTruth{
		Tenant: k.feed.tenant.ID, ContentType: k.feed.contentType, ContentID: k.contentID(whole),
		Created: k.created(), Appears: k.appears(s.scenario.Late), Expires: k.expires(s.scenario.Expiry),
	}
	s.ledger.mu.Lock()
	b.Listed, b.Served, b.Gone = s.ledger.listed[k], s.ledger.served[k], s.ledger.gone[k]
	s.ledger.mu.Unlock()
	return b
}

// fill writes into b what the blob holds as it is served at a time.
func (s *Sim) fill(b *BlobTruth, k blobKey, asOf time.Time) {
	refs, _ := s.planAt(nil, k, asOf)
	b.Records = len(refs)
	var w writer
	for _, r := range refs {
		raw, id := s.appendRecord(&w, nil, r)
		item := Item{Raw: raw, Malformed: s.isMalformed(r)}
		switch p := r.at(); {
		case item.Malformed:
			b.Malformed++
		case p.generator == nil:
			item.ID = p.records[r.n*p.size+r.index].id
		default:
			item.ID = id.String()
		}
		b.Items = append(b.Items, item)
	}
}
