package m365

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/internal/fault"
)

// ClockTolerance is how far this machine's clock may be from Microsoft's before it matters: the sign-in service accepts
// requests signed with a certificate within about five minutes (spec/entra-auth.md section 1.2).
const ClockTolerance = 5 * time.Minute

// ExpiryNotice is how long before its end a credential should be replaced.
const ExpiryNotice = 30 * 24 * time.Hour

// secrets are the texts that no message may hold.
func (c Credential) secrets() []string {
	return []string{c.Secret.Reveal(), c.CertificatePassword.Reveal()}
}

// SecretIsID reports whether the client secret looks like the ID of a secret, which the portal shows beside its value
// and which is often pasted in its place: it is a GUID, and Microsoft's values never are.
func (c Credential) SecretIsID() bool {
	text := strings.TrimSpace(c.Secret.Reveal())
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}

// fill replaces the placeholders of a hint: {application_id}, {directory_id}, {consent}.
func (c Credential) fill(hint string) string {
	consent := strings.TrimRight(c.LoginURL, "/") + "/" + url.PathEscape(c.TenantID) + "/adminconsent?client_id=" + url.QueryEscape(c.ClientID)
	return strings.NewReplacer("{application_id}", c.ClientID, "{directory_id}", c.TenantID, "{consent}", consent).Replace(hint)
}

// explain adds to a refused sign-in what this side knows: the shape of the secret, and the clock.
func (c Credential) explain(e *fault.Error, seen exchange) {
	switch e.Code {
	case "AADSTS7000215", "AADSTS70002":
		if c.SecretIsID() {
			e.Message += ": api_access_key is a GUID, so it is the ID of a secret and not its value"
		}
	case "AADSTS700024":
		if seen.dated && (seen.skew > time.Minute || seen.skew < -time.Minute) {
			e.Message = e.Code + ": the sign-in request is outside its validity, because " + DescribeSkew(seen.skew)
		}
	}
}

// DescribeSkew says how a clock differs from Microsoft's; skew is service time minus local time.
func DescribeSkew(skew time.Duration) string {
	word := "behind"
	if skew < 0 {
		skew, word = -skew, "ahead of"
	}
	minutes := int(skew.Round(time.Minute) / time.Minute)
	switch {
	case minutes == 0:
		return "this machine's clock agrees with Microsoft's"
	case minutes < 120:
		return fmt.Sprintf("this machine's clock is %d minutes %s Microsoft's", minutes, word)
	case minutes < 48*60:
		return fmt.Sprintf("this machine's clock is %d hours %s Microsoft's", (minutes+30)/60, word)
	}
	return fmt.Sprintf("this machine's clock is %d days %s Microsoft's", (minutes+720)/1440, word)
}
