package lake

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/normalize"
	"sluice/internal/record"
)

// synth makes audit records of the shapes and sizes of a real tenant: some 1.75 KB, most values from small sets, a few
// unique, three families that differ in their fields.
type synth struct{ r *rand.Rand }

func newSynth() *synth { return &synth{rand.New(rand.NewPCG(1, 2))} }

func (s *synth) guid() string {
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", s.r.Uint32(), s.r.Uint32()>>16, s.r.Uint32()>>16, s.r.Uint32()>>16, s.r.Uint64()>>16)
}

func (s *synth) record(at time.Time) string {
	user := fmt.Sprintf("user%04d@contoso.com", s.r.IntN(5000))
	ip := fmt.Sprintf("203.0.%d.%d", s.r.IntN(80), s.r.IntN(250))
	stamp := at.Format("2006-01-02T15:04:05")
	head := fmt.Sprintf(`{"CreationTime":"%s","Id":"%s","Operation":"%%s","OrganizationId":"11111111-2222-3333-4444-555555555555","RecordType":%%d,"ResultStatus":"Succeeded","UserKey":"1003%012x","UserType":0,"Version":1,"Workload":"%%s","ClientIP":"%s","UserId":"%s"`,
		stamp, s.guid(), s.r.Uint32(), ip, user)
	switch s.r.IntN(10) {
	case 0, 1, 2, 3:
		return fmt.Sprintf(head, []string{"FileAccessed", "FileModified", "FileDownloaded", "FileUploaded"}[s.r.IntN(4)], 6, "SharePoint") + s.sharePoint(user, stamp)
	case 4, 5, 6:
		return fmt.Sprintf(head, []string{"UserLoggedIn", "UserLoginFailed"}[s.r.IntN(2)], 15, "AzureActiveDirectory") + s.signIn(user, ip)
	default:
		return fmt.Sprintf(head, []string{"MailItemsAccessed", "Send", "Set-Mailbox", "New-InboxRule"}[s.r.IntN(4)], 50, "Exchange") + s.exchange(user)
	}
}

func (s *synth) sharePoint(user, stamp string) string {
	site := fmt.Sprintf("https:\\/\\/contoso.sharepoint.com\\/sites\\/team%03d", s.r.IntN(200))
	file := fmt.Sprintf("Report %d.docx", s.r.IntN(20000))
	return fmt.Sprintf(`,"CorrelationId":"%s","EventSource":"SharePoint","ItemType":"File","ListId":"%s","ListItemUniqueId":"%s","Site":"%s","UserAgent":"Mozilla\/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/120.0.0.0 Safari\/537.36 Edg\/120.0.%d.%d","WebId":"%s","DeviceDisplayName":"DESKTOP-%04d","HighPriorityMediaProcessing":false,"AuthenticationType":"OAuth","BrowserName":"Edge","BrowserVersion":"120.0","IsManagedDevice":false,"Platform":"WinDesktop","SourceRelativeUrl":"Shared Documents\/%d","SourceFileName":"%s","SourceFileExtension":"docx","ApplicationDisplayName":"Office 365 SharePoint Online","ApplicationId":"00000003-0000-0ff1-ce00-000000000000","SiteUrl":"%s\/","ObjectId":"%s\/Shared Documents\/%d\/%s","AppAccessContext":{"AADSessionId":"%s","CorrelationId":"%s","UniqueTokenId":"%s","IssuedAtTime":"%s","ClientAppId":"%s"},"GeoLocation":"EUR","ListBaseType":1,"ListServerTemplate":101,"SensitivityLabelOwnerEmail":"%s","ModifiedProperties":[{"Name":"LastModified","NewValue":"%s","OldValue":""}]}`,
		s.guid(), s.guid(), s.guid(), s.guid(), s.r.IntN(20), s.r.IntN(200), s.guid(), s.r.IntN(3000), s.r.IntN(400), file, site, site, s.r.IntN(400), file,
		s.guid(), s.guid(), s.guid(), stamp, s.guid(), user, stamp)
}

func (s *synth) signIn(user, ip string) string {
	return fmt.Sprintf(`,"ObjectId":"00000002-0000-0000-c000-000000000000","AzureActiveDirectoryEventType":1,"ExtendedProperties":[{"Name":"ResultStatusDetail","Value":"Success"},{"Name":"UserAgent","Value":"Mozilla\/5.0 (iPhone; CPU iPhone OS 17_%d like Mac OS X) AppleWebKit\/605.1.15 (KHTML, like Gecko) Version\/17.0 Mobile\/15E148 Safari\/604.1"},{"Name":"UserAuthenticationMethod","Value":"%d"},{"Name":"RequestType","Value":"OAuth2:Token"}],"ModifiedProperties":[],"Actor":[{"ID":"%s","Type":0},{"ID":"%s","Type":5},{"ID":"1003%012x","Type":3}],"ActorContextId":"11111111-2222-3333-4444-555555555555","ActorIpAddress":"%s","InterSystemsId":"%s","IntraSystemId":"%s","SupportTicketId":"","Target":[{"ID":"00000002-0000-0000-c000-000000000000","Type":0}],"TargetContextId":"11111111-2222-3333-4444-555555555555","ApplicationId":"%s","DeviceProperties":[{"Name":"Id","Value":"%s"},{"Name":"DisplayName","Value":"LAPTOP-%04d"},{"Name":"OS","Value":"Windows 10"},{"Name":"BrowserType","Value":"Edge"},{"Name":"IsCompliant","Value":"True"},{"Name":"TrustType","Value":"2"},{"Name":"SessionId","Value":"%s"}],"ErrorNumber":"%d"}`,
		s.r.IntN(9), s.r.IntN(20), s.guid(), user, s.r.Uint32(), ip, s.guid(), s.guid(), s.guid(), s.guid(), s.r.IntN(3000), s.guid(), s.r.IntN(3)*50053)
}

func (s *synth) exchange(user string) string {
	return fmt.Sprintf(`,"ClientAppId":"%s","ClientInfoString":"Client=REST;Client=RESTSystem;;","ExternalAccess":false,"InternalLogonType":0,"LogonType":0,"LogonUserSid":"S-1-5-21-%d-%d-%d-%d","MailboxGuid":"%s","MailboxOwnerSid":"S-1-5-21-%d-%d","MailboxOwnerUPN":"%s","OperationProperties":[{"Name":"MailAccessType","Value":"Bind"},{"Name":"IsThrottled","Value":"False"}],"OrganizationName":"contoso.onmicrosoft.com","OriginatingServer":"AM6PR04MB%d (15.20.4200.000)\u000d\u000a","SessionId":"%s","Folders":[{"FolderItems":[{"InternetMessageId":"<%s@contoso.com>","SizeInBytes":%d},{"InternetMessageId":"<%s@contoso.com>","SizeInBytes":%d},{"InternetMessageId":"<%s@contoso.com>","SizeInBytes":%d}],"Id":"LgAAAAB%s","Path":"\\Inbox"}],"OperationCount":3,"Parameters":[{"Name":"Identity","Value":"%s"},{"Name":"DeliverToMailboxAndForward","Value":"False"}]}`,
		s.guid(), s.r.Uint32(), s.r.Uint32(), s.r.Uint32(), s.r.IntN(9999), s.guid(), s.r.Uint32(), s.r.IntN(9999), user, s.r.IntN(9999), s.guid(),
		s.guid(), s.r.IntN(90000), s.guid(), s.r.IntN(90000), s.guid(), s.r.IntN(90000), strings.ReplaceAll(s.guid(), "-", ""), user)
}

// entries makes n records in batches of 500.
func (s *synth) entries(n int) []Entry {
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	var entries []Entry
	for seq := uint64(1); n > 0; seq++ {
		raws := make([]string, min(n, 500))
		for i := range raws {
			at = at.Add(50 * time.Millisecond)
			raws[i] = s.record(at)
		}
		e := batchOf(seq, raws...)
		for i := range e.Batch.Records {
			e.Batch.Records[i].ID = "o365:11111111-2222-3333-4444-555555555555:" + s.guid() + ":0a1b2c3d"
		}
		entries = append(entries, e)
		n -= len(raws)
	}
	return entries
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWriter is the whole way from decoded batches to committed files, in commits of 50,000 rows.
func BenchmarkWriter(b *testing.B) {
	const n = 200_000
	entries := newSynth().entries(n)
	size := 0
	for _, e := range entries {
		for _, r := range e.Batch.Records {
			size += len(r.Raw)
		}
	}
	var cpu time.Duration
	var stats TableStats
	for b.Loop() {
		b.StopTimer()
		s := newSetup(b)
		s.cfg.CommitRows, s.cfg.CommitInterval = 50_000, time.Hour
		l := s.open()
		w := NewWriter(l, feedOf(entries...), WriterOptions{})
		runtime.GC()
		b.StartTimer()
		start := cpuTime()
		if err := runWriter(b, w, uint64(len(entries))); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime() - start
		b.StopTimer()
		all, err := l.Stats(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		stats = all[0]
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/n, "cpu-us/event")
	b.ReportMetric(float64(stats.Bytes)/n, "lakeB/event")
	b.ReportMetric(float64(size)/n, "rawB/event")
}

// BenchmarkShred is taking apart and checking alone, with normalising.
func BenchmarkShred(b *testing.B) {
	entries := newSynth().entries(10_000)
	norm, err := normalize.New()
	if err != nil {
		b.Fatal(err)
	}
	p := newPending(norm)
	for _, index := range Indices() {
		p.open(index, newColumnSet(normalize.Columns), Position{})
	}
	t := p.tables[record.WindowsEvents]
	for b.Loop() {
		for i := range entries {
			p.add(&entries[i], time.Unix(0, 0))
		}
		t.reset(Position{})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10_000, "us/event")
	b.ReportMetric(float64(t.shred.verbatim), "verbatim")
}

// BenchmarkSmallCommit commits five rows at a time, as a quiet tenant with an interval of a second does.
func BenchmarkSmallCommit(b *testing.B) {
	s := newSetup(b)
	l := s.open()
	more := make(chan Entry)
	w := NewWriter(l, func(context.Context, uint64) (Feed, error) { return &listFeed{more: more}, nil }, WriterOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	gen := newSynth()
	seq := uint64(0)
	start := cpuTime()
	for b.Loop() {
		e := gen.entries(5)[0]
		seq++
		e.Seq = seq
		more <- e
		if err := w.Flush(ctx, seq); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime()-start).Microseconds())/1000/float64(b.N), "cpu-ms/commit")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
