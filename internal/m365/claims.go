package m365

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the parts of an access token that explain a failure to an operator (spec/entra-auth.md section 3). They
// are read without checking the signature and decide nothing: a token that cannot be decoded is used all the same.
type Claims struct {
	Decoded  bool      // false: the token is opaque and the other fields are empty
	Audience string    // aud: the service that the token is for
	TenantID string    // tid
	AppID    string    // appid, or azp
	Roles    []string  // roles: the application permissions that were granted
	Scopes   string    // scp: present only in tokens of a user, which these services refuse
	WIDs     []string  // wids: template ids of the directory roles that the application holds
	Expires  time.Time // exp, UTC
}

// HasRole reports whether an application permission was granted, compared without letter case.
func (c Claims) HasRole(role string) bool {
	return slices.ContainsFunc(c.Roles, func(r string) bool { return strings.EqualFold(r, role) })
}

// decodeClaims reads what it can and never fails.
func decodeClaims(token string) Claims {
	var m jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &m); err != nil {
		// Signing methods that the parser does not know make it fail after the payload was decoded.
		if len(m) == 0 {
			return Claims{}
		}
	}
	c := Claims{Decoded: true, TenantID: str(m["tid"]), AppID: str(m["appid"]), Scopes: str(m["scp"]), Roles: list(m["roles"]), WIDs: list(m["wids"])}
	if c.AppID == "" {
		c.AppID = str(m["azp"])
	}
	if aud := list(m["aud"]); len(aud) > 0 {
		c.Audience = aud[0]
	}
	if exp, ok := m["exp"].(float64); ok {
		c.Expires = time.Unix(int64(exp), 0).UTC()
	} else if n, ok := m["exp"].(json.Number); ok {
		if seconds, err := n.Int64(); err == nil {
			c.Expires = time.Unix(seconds, 0).UTC()
		}
	}
	return c
}

func str(v any) string { s, _ := v.(string); return s }

func list(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			if s := str(e); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
