package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"sluice/internal/secret"
)

// The headers of a webhook.
const (
	HeaderSignature = "X-Sluice-Signature"
	HeaderID        = "Idempotency-Key"
)

// maxSkew is how much the time of a signature may differ from the receiver's (spec/destinations.md section 10).
const maxSkew = 5 * time.Minute

// sign makes the value of HeaderSignature.
func sign(key secret.Secret, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(digest(key, t, body))
}

func digest(key secret.Secret, t string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// VerifySignature checks the value of HeaderSignature of a request that was received now: whether it was made with the
// key for this very body, not more than five minutes ago. The header may carry more than one v1, of which one must fit.
func VerifySignature(key secret.Secret, header string, body []byte, now time.Time) error {
	var at string
	var sums []string
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			at = value
		case "v1":
			sums = append(sums, value)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || len(sums) == 0 {
		return errors.New("the signature has no time or no v1")
	}
	if skew := now.Sub(time.Unix(seconds, 0)); skew > maxSkew || skew < -maxSkew {
		return errors.New("the signature is too old or from the future")
	}
	want := digest(key, at, body)
	for _, sum := range sums {
		if have, err := hex.DecodeString(sum); err == nil && hmac.Equal(have, want) {
			return nil
		}
	}
	return errors.New("the signature does not fit")
}
