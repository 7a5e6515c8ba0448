package normalize

import "strings"

// sharePoint reads files, sharing, lists and administration of SharePoint and OneDrive.
func (w *work) sharePoint() {
	row := w.row
	object := w.text(fObjectID)
	if strings.Contains(object, "://") {
		row.SetText(URL, object)
	}
	w.set(FileExtension, fSourceFileExtension)
	if name := w.text(fSourceFileName); name != "" {
		w.fileName(name)
		row.SetText(FileURL, row.Text(URL))
		row.SetText(FileDirectory, w.text(fSourceRelativeURL))
		if site := w.text(fSiteURL); site != "" {
			row.SetText(FilePath, joinPath(site, w.text(fSourceRelativeURL), name))
		} else {
			row.SetText(FilePath, row.Text(URL))
		}
	}
	if name := w.text(fDestinationFileName); name != "" || w.text(fDestinationRelativeURL) != "" {
		row.SetText(FileDstPath, joinPath(w.text(fSiteURL), w.text(fDestinationRelativeURL), name))
	}
	w.size(FileSize, w.text(fFileSizeBytes))
	w.set(FileLabel, fLabelID)
	w.set(ThreatName, fVirusInfo)
	w.sharePointTargets()
	w.fileWords()
	if w.operation == "FileMalwareDetected" {
		row.SetText(EventKind, "alert")
		w.severity("high")
		w.words(`["web","file","malware"]`, `["info"]`)
	}
}

// sharePointTargets reads with whom something was shared.
func (w *work) sharePointTargets() {
	if name := w.text(fTargetName); name != "" {
		kind := w.text(fTargetType)
		if foldAny(kind, "group", "securitygroup", "sharepointgroup") {
			w.row.SetText(GroupName, name)
		} else {
			u := parseUser(name)
			u.external = u.external || foldAny(kind, "guest", "partner")
			w.target(u)
		}
	}
	for _, name := range w.texts(w.vals[fUserSharedWith], 0) {
		w.target(parseUser(name))
	}
}

// joinPath joins the parts of a path with single slashes. Parts may be empty.
func joinPath(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if p == "" {
			continue
		}
		if b.Len() > 0 {
			if !strings.HasSuffix(b.String(), "/") {
				b.WriteByte('/')
			}
			p = strings.TrimPrefix(p, "/")
		}
		b.WriteString(p)
	}
	return b.String()
}

// fileWords derives the words of file operations from the activity of OCSF class 6006.
func (w *work) fileWords() {
	if w.rule.ClassUID != 6006 {
		return
	}
	kind := `["info"]`
	switch w.rule.ActivityID {
	case 1, 6, 8: // upload, copy, restore
		kind = `["info","creation"]`
	case 2, 9, 14: // download, preview, open
		kind = `["info","access"]`
	case 3, 5, 7, 10, 11, 12, 13: // update, rename, move, lock, unlock, share, unshare
		kind = `["info","change"]`
	case 4:
		kind = `["info","deletion"]`
	}
	w.words(`["web","file"]`, kind)
}

// teams reads Microsoft Teams: record types 25, 73, 92, 230, 57 and 59.
func (w *work) teams() {
	w.set(GroupName, fTeamName)
	w.set(GroupID, fAADGroupID)
	if !w.row.Has(GroupID) {
		w.set(GroupID, fTeamGUID)
	}
	for _, e := range w.array(w.vals[fMembers], 0) {
		m := w.object(element(e), 0)
		u := parseUser(memberText(m, "upn"))
		if u.empty() {
			u.name = memberText(m, "displayname")
		}
		if memberText(m, "role") == "2" {
			u.kind, u.external = "guest", true
		}
		w.target(u)
	}
	w.set(AppName, fAddOnName)
	w.set(AppID, fAddOnGUID)
	switch w.operation {
	case "TeamCreated":
		w.words(`["web","iam"]`, `["info","group","creation"]`)
	case "TeamDeleted":
		w.words(`["web","iam"]`, `["info","group","deletion"]`)
	case "MemberAdded", "MemberRemoved", "MemberRoleChanged":
		w.words(`["web","iam"]`, `["info","group","change"]`)
	}
}
