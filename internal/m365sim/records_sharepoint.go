package m365sim

// SharePoint and OneDrive: file operations (RecordType 6), pages (4) and sharing (14).
// Shapes: spec/management-activity-api.md section 13.1.
var sharePointMenu = newMenu(
	menuItem{26, func(w *writer) { fileOperation(w, "FileAccessed") }},
	menuItem{24, func(w *writer) { fileOperation(w, "FileDownloaded") }},
	menuItem{10, func(w *writer) { fileOperation(w, "FileModified") }},
	menuItem{8, func(w *writer) { fileOperation(w, "FileUploaded") }},
	menuItem{6, func(w *writer) { fileOperation(w, "FilePreviewed") }},
	menuItem{6, func(w *writer) { fileOperation(w, "FileSyncDownloadedFull") }},
	menuItem{3, func(w *writer) { fileOperation(w, "FileRecycled") }},
	menuItem{2, func(w *writer) { fileOperation(w, "FileMoved") }},
	menuItem{2, func(w *writer) { fileOperation(w, "FileRenamed") }},
	menuItem{8, pageViewed},
	menuItem{2, func(w *writer) { sharing(w, "SharingSet") }},
	menuItem{2, func(w *writer) { sharing(w, "AddedToSecureLink") }},
	menuItem{1, func(w *writer) { sharing(w, "AnonymousLinkCreated") }},
)

// sharePoint writes the common part up to SiteUrl and returns the address of the site: a team's or the user's own.
func (w *writer) sharePoint(operation string, recordType int, itemType, object string) (url string) {
	s := &w.vocab.sites[w.skewed(len(w.vocab.sites))]
	workload, url := "SharePoint", s.url
	if w.rng.below(5) < 2 {
		workload, url = "OneDrive", w.user.drive
	}
	w.header(operation, recordType, "", "i:0h.f|membership|"+w.user.puid+"@live.com", 0, workload)
	w.clientIP("ClientIP")
	w.lit(`,"ObjectId":"`)
	w.lit(url)
	w.lit(object)
	w.lit(`"`)
	w.member("UserId", w.user.upn)
	app := applications[w.rng.below(len(applications))]
	w.member("ApplicationId", app.id)
	w.member("ApplicationDisplayName", app.name)
	w.lit(`,"AuthenticationType":"OAuth","BrowserName":"`)
	w.lit(w.pick(browsers))
	w.lit(`","BrowserVersion":"139.0.0.0"`)
	w.guidMember("CorrelationId")
	w.member("DeviceDisplayName", w.pick(w.vocab.hosts))
	w.lit(`,"EventSource":"SharePoint","GeoLocation":"EUR","IsManagedDevice":true`)
	w.member("ItemType", itemType)
	w.member("ListId", s.list)
	w.guidMember("ListItemUniqueId")
	w.lit(`,"Platform":"WinDesktop"`)
	w.member("Site", s.id)
	w.member("UserAgent", w.pick(agents))
	w.member("WebId", s.web)
	w.accessContext()
	w.member("SiteUrl", url)
	return url
}

func fileOperation(w *writer, operation string) {
	folder, topic, extension := w.pick(folders), w.pick(topics), w.pick(extensions)
	number := w.rng.below(5_000)
	mark := len(w.buf)
	w.lit(topic)
	w.lit(" ")
	w.num(number)
	w.lit(".")
	w.lit(extension)
	file := string(w.buf[mark:])
	w.buf = w.buf[:mark]
	url := w.sharePoint(operation, 6, "File", folder+`\/`+file)
	w.numMember("FileSizeBytes", 1_000+w.rng.below(9_000_000))
	w.lit(`,"HighPriorityMediaProcessing":false,"ListBaseType":1,"ListServerTemplate":101`)
	w.member("SourceFileExtension", extension)
	w.member("SourceFileName", file)
	w.member("SourceRelativeUrl", folder)
	switch operation {
	case "FileMoved":
		w.member("DestinationFileExtension", extension)
		w.member("DestinationFileName", file)
		w.member("DestinationRelativeUrl", w.pick(folders))
	case "FileRenamed":
		w.member("DestinationFileExtension", extension)
		w.member("DestinationFileName", "Final "+file)
	case "FileDownloaded", "FileAccessed":
		w.member("SensitivityLabelOwnerEmail", w.user.upn)
		w.lit(`,"SensitivityLabelId":"`)
		w.seededGUID(uint64(number % 7))
		w.lit(`","SiteSensitivityLabelId":"","ObjectUrlDepth":`)
		w.num(len(url) % 9)
	}
}

func pageViewed(w *writer) {
	w.sharePoint("PageViewed", 4, "Page", `SitePages\/Home.aspx`)
	w.lit(`,"CustomUniqueId":true,"IsWorkflow":false`)
}

func sharing(w *writer, operation string) {
	guest := &w.vocab.users[w.rng.below(len(w.vocab.users))]
	w.sharePoint(operation, 14, "File", w.pick(folders)+`\/Plan.docx`)
	w.lit(`,"EventData":"\u003cType\u003eEdit\u003c\/Type\u003e\u003cMembersCanShareApplied\u003eFalse\u003c\/MembersCanShareApplied\u003e"`)
	w.lit(`,"SourceFileExtension":"docx","SourceFileName":"Plan.docx","TargetUserOrGroupName":"`)
	w.lit(guest.upn)
	w.lit(`","TargetUserOrGroupType":"Guest"`)
	w.guidMember("UniqueSharingId")
}
