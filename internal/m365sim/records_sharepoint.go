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

// sharePoint writes the common part up to SiteUrl for object number item of a site, a team's or the user's own, and
// returns the address of the site.
func (w *writer) sharePoint(operation string, recordType int, itemType, object string, item int) (url string) {
	which := w.skewed(len(w.vocab.sites))
	workload, url := "SharePoint", w.vocab.sites[which].url
	if w.rng.below(5) < 2 { // drives are numbered downwards from -1
		workload, url, which = "OneDrive", w.user.drive, -1-w.who
	}
	w.header(operation, recordType, "", "i:0h.f|membership|"+w.user.puid+"@live.com", 0, workload)
	w.clientIP()
	w.lit(`,"ObjectId":"`)
	w.lit(url)
	w.lit(object)
	w.lit(`"`)
	w.member("UserId", w.user.upn)
	app := applications[w.rng.below(len(applications))]
	w.member("ApplicationId", app.id)
	w.member("ApplicationDisplayName", app.name)
	w.lit(`,"AuthenticationType":"OAuth","BrowserName":"`)
	w.lit(browsers[w.who%len(browsers)])
	w.lit(`","BrowserVersion":"139.0.0.0"`)
	w.guidMember("CorrelationId")
	w.member("DeviceDisplayName", w.vocab.hosts[w.who%len(w.vocab.hosts)])
	w.lit(`,"EventSource":"SharePoint","GeoLocation":"EUR","IsManagedDevice":true`)
	w.member("ItemType", itemType)
	w.lastingMember("ListId", w.lasting(aSite, which, 1))
	w.lastingMember("ListItemUniqueId", w.lasting(aFile, which, item))
	w.lit(`,"Platform":"WinDesktop"`)
	w.lastingMember("Site", w.lasting(aSite, which, 0))
	w.member("UserAgent", w.agent())
	w.lastingMember("WebId", w.lasting(aSite, which, 2))
	w.accessContext()
	w.member("SiteUrl", url)
	return url
}

func fileOperation(w *writer, operation string) {
	number := w.skewed(3_000)
	folder, topic, extension := folders[number%len(folders)], topics[number/7%len(topics)], extensions[number/3%len(extensions)]
	mark := len(w.buf)
	w.lit(topic)
	w.lit(" ")
	w.num(number)
	w.lit(".")
	w.lit(extension)
	file := string(w.buf[mark:])
	w.buf = w.buf[:mark]
	url := w.sharePoint(operation, 6, "File", folder+`\/`+file, number)
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
	w.sharePoint("PageViewed", 4, "Page", `SitePages\/Home.aspx`, 0)
	w.lit(`,"CustomUniqueId":true,"IsWorkflow":false`)
}

func sharing(w *writer, operation string) {
	guest := &w.vocab.users[w.rng.below(len(w.vocab.users))]
	w.sharePoint(operation, 14, "File", folders[0]+`\/Plan.docx`, 1)
	w.lit(`,"EventData":"\u003cType\u003eEdit\u003c\/Type\u003e\u003cMembersCanShareApplied\u003eFalse\u003c\/MembersCanShareApplied\u003e"`)
	w.lit(`,"SourceFileExtension":"docx","SourceFileName":"Plan.docx","TargetUserOrGroupName":"`)
	w.lit(guest.upn)
	w.lit(`","TargetUserOrGroupType":"Guest"`)
	w.guidMember("UniqueSharingId")
}
