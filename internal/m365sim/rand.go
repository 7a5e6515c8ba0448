package m365sim

import "encoding/binary"

// rng is the splitmix64 generator. Everything that looks random in the simulator comes from one, seeded with what the
// value is for (mix), so that any blob or record can be made again at any time, in any order, without stored state.
type rng uint64

// next returns 64 evenly distributed bits.
func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return finish(uint64(*r))
}

// below returns a number in [0, n); n must be positive and below 2^32.
func (r *rng) below(n int) int { return int((r.next() >> 32) * uint64(n) >> 32) }

// unit maps 64 bits to [0, 1).
func unit(v uint64) float64 { return float64(v>>11) / (1 << 53) }

func finish(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// mix derives a seed from another one and numbers that say what it is for.
func mix(seed uint64, parts ...uint64) uint64 {
	for _, p := range parts {
		seed = finish(seed ^ finish(p+0x9e3779b97f4a7c15))
	}
	return seed
}

// mixText derives a seed from another one and a text.
func mixText(seed uint64, text string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 0x100000001b3
	}
	return mix(seed, h)
}

// Purposes keep draws for different decisions about the same thing independent.
const (
	forRecord uint64 = iota + 1
	forVocabulary
	forLate
	forLoss
	forMalformed
	forIDless
	forOdd
	forTwinInBlob
	forTwinAcross
	forTwinFeed
	forRedelivery
	forFault
	forShuffle
	forWideWindow
	forContentID
	forGrowth
	forVariant
	forShare
)

const hexDigits = "0123456789abcdef"

// appendGUID appends 128 bits as a version 4 UUID.
func appendGUID(dst []byte, hi, lo uint64) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], hi)
	binary.BigEndian.PutUint64(raw[8:], lo)
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	at := 0
	for i, b := range raw {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = hexDigits[b>>4], hexDigits[b&15]
		at += 2
	}
	return append(dst, text[:]...)
}

// guidText is the GUID that belongs to a seed.
func guidText(seed uint64) string {
	r := rng(seed)
	return string(appendGUID(nil, r.next(), r.next()))
}
