package normalize

import (
	"slices"
	"strings"

	"sluice/internal/rawjson"
)

// user is a user as user.* and user_target hold it.
type user struct {
	id, name, email, domain, upn, kind string
	external                           bool
}

// parseUser reads the forms of UserId (spec/record-schema.md section 5.2).
func parseUser(s string) user {
	s = strings.TrimSpace(s)
	var u user
	if rest, found := strings.CutPrefix(s, "urn:spo:"); found {
		kind, name, _ := strings.Cut(rest, "#")
		u.external = true
		if kind == "anon" {
			u.name = "anonymous"
			return u
		}
		s = name
	}
	switch {
	case s == "", foldAny(s, "not available", "unknown", "not-found"):
		return u
	case isGUID(s), isSID(s):
		u.id = s
		return u
	case isSystemUser(s):
		u.name, u.kind = s, "system"
		return u
	}
	if id, found := strings.CutPrefix(s, "ServicePrincipal_"); found && isGUID(id) {
		u.id, u.name, u.kind = id, s, "service_principal"
		return u
	}
	if name, domain, found := strings.Cut(s, "@"); found && name != "" && domain != "" && !strings.ContainsAny(domain, "@ ") {
		u.upn = strings.ToLower(s)
		u.email, u.name, u.domain = u.upn, u.upn[:len(name)], u.upn[len(name)+1:]
		if len(u.upn) != len(s) { // a letter whose lower case has another length
			u.name, u.domain, _ = strings.Cut(u.upn, "@")
		}
		u.external = u.external || strings.Contains(u.upn, "#ext#")
		return u
	}
	if domain, name, found := strings.Cut(s, `\`); found && name != "" && !strings.Contains(name, `\`) {
		u.name, u.domain = name, strings.ToLower(domain)
		return u
	}
	u.name = s
	return u
}

func foldAny(s string, words ...string) bool {
	for _, w := range words {
		if len(s) == len(w) && strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}

// isSystemUser tells names that stand for a part of Microsoft's service.
func isSystemUser(s string) bool {
	if len(s) >= 13 && strings.EqualFold(s[:13], `NT AUTHORITY\`) {
		return true
	}
	return foldAny(s, "app@sharepoint", `sharepoint\system`, "securitycompliancealerts", "dlpagent", "airinvestigation",
		`microsoft\serviceoperator`, "system")
}

// isGUID accepts 8-4-4-4-12 hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isSID(s string) bool { return len(s) > 6 && (s[:4] == "S-1-" || s[:4] == "s-1-") }

// idOfKey takes the id out of a UserKey: a GUID, a SID, or a PUID (16 hexadecimal digits), alone, before an @ or as
// in i:0h.f|membership|1003200126677019@live.com.
func idOfKey(key string) string {
	if i := strings.LastIndexByte(key, '|'); i >= 0 {
		key = key[i+1:]
	}
	if isGUID(key) || isSID(key) {
		return key
	}
	puid, _, _ := strings.Cut(key, "@")
	if len(puid) != 16 {
		return ""
	}
	for i := range len(puid) {
		if !isHex(puid[i]) {
			return ""
		}
	}
	return puid
}

// userTypes are the names of UserType (spec/record-schema.md section 5.2).
var userTypes = [...]string{
	"regular", "reserved", "admin", "dc_admin", "system", "application", "service_principal",
	"custom_policy", "system_policy", "partner_technician", "guest",
}

func (u user) empty() bool { return u == user{} }

// shown is the name under which people know the user.
func (u user) shown() string {
	switch {
	case u.upn != "":
		return u.upn
	case u.name != "":
		return u.name
	}
	return u.id
}

// appendJSON writes the user as an object.
func (u user) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	first := true
	add := func(name, value string) {
		if value == "" {
			return
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), name...), '"', ':')
		dst = rawjson.AppendQuoted(dst, value, 0)
	}
	add("id", u.id)
	add("name", u.name)
	add("email", u.email)
	add("domain", u.domain)
	add("upn", u.upn)
	add("type", u.kind)
	if u.external {
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, `"is_external":true`...)
	}
	return append(dst, '}')
}

// setUser fills user.* and srcip_username from the acting user.
func (w *work) setUser(u user) {
	w.row.SetText(UserID, u.id)
	w.row.SetText(UserName, u.name)
	w.row.SetText(UserEmail, u.email)
	w.row.SetText(UserDomain, u.domain)
	w.row.SetText(UserUPN, u.upn)
	w.row.SetText(UserType, u.kind)
	if u.external {
		w.row.SetText(UserIsExternal, "true")
	}
	w.row.SetText(SrcIPUsername, u.shown())
	w.related(RelatedUser, u.shown())
}

// replaceUser names another acting user than UserId did, which was a service or nobody.
func (w *work) replaceUser(u user) {
	if u.empty() {
		return
	}
	for c := UserID; c <= UserIsExternal; c++ {
		w.row.set[c] = false
	}
	w.row.set[SrcIPUsername] = false
	w.lists[RelatedUser-RelatedIP] = w.lists[RelatedUser-RelatedIP][:0]
	w.setUser(u)
	w.row.SetText(SrcIPUserSID, u.id)
}

// target adds a user that the action was about.
func (w *work) target(u user) {
	if u.empty() || len(w.targets) >= maxListed {
		return
	}
	if slices.Contains(w.targets, u) {
		return
	}
	w.targets = append(w.targets, u)
	w.related(RelatedUser, u.shown())
}

// setTargets writes user_target: an object, or an array when there are several.
func (w *work) setTargets() {
	if len(w.targets) == 0 {
		return
	}
	w.buf = w.buf[:0]
	if len(w.targets) > 1 {
		w.buf = append(w.buf, '[')
	}
	for i, u := range w.targets {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = u.appendJSON(w.buf)
	}
	if len(w.targets) > 1 {
		w.buf = append(w.buf, ']')
	}
	w.row.SetText(UserTarget, string(w.buf))
}
