package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// synonyms are the words that other collectors and Microsoft's portal use for our keys.
var synonyms = map[string]string{
	"app_id":             "application_id",
	"client_id":          "application_id",
	"client_secret":      "api_access_key",
	"secret":             "api_access_key",
	"tenant":             "tenant_name",
	"tenant_id":          "directory_id",
	"certificate":        "certificate_file",
	"paused":             "enabled",
	"disabled":           "enabled",
	"poll_interval":      "interval",
	"contents":           "content_types",
	"content":            "content_types",
	"plan":               "subscription_plan",
	"insecure":           "disable_ssl_verification",
	"authority":          "authentication_endpoint",
	"since":              "start_time",
	"filters":            "log_filters",
	"verify_certificate": "disable_ssl_verification",
}

// nearest returns the known word that a person most likely meant, "" when none is near enough.
func nearest(word string, known []string) string {
	word = strings.ToLower(word)
	if s := synonyms[strings.ReplaceAll(word, "-", "_")]; s != "" && slices.Contains(known, s) {
		return s
	}
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		d := levenshtein.ComputeDistance(word, strings.ToLower(k))
		if d < bestDistance && d < len(k) && d < len(word) {
			best, bestDistance = k, d
		}
	}
	return best
}

// unknownType words the message about a connector type that does not exist.
func unknownType(word string, known []string) string {
	all := strings.Join(known, ", ")
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("unknown connector type %q, did you mean %q? (known are %s)", word, near, all)
	}
	return fmt.Sprintf("unknown connector type %q, known are %s", word, all)
}

// unknown words the message about a word that does not exist.
func unknown(what, word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("unknown %s, did you mean %q?", what, near)
	}
	return fmt.Sprintf("unknown %s, known are %s", what, strings.Join(known, ", "))
}
