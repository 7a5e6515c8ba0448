package m365sim

import (
	"fmt"
	"strings"
)

// vocabulary holds the people, addresses, sites and programs of one tenant. Every text is already written as the
// inside of a JSON string in the style of the .NET serialisers behind the real service: a slash is \/.
type vocabulary struct {
	seed   uint64
	tenant string // directory id
	domain string // contoso.onmicrosoft.com
	label  string // contoso
	users  []person
	ips    []string
	sites  []site
	groups []string
	hosts  []string // names of devices
}

type person struct {
	upn, name, object, puid, sid, mailbox, drive string
	home                                         int // index of the usual address
}

type site struct{ url, title string }

const addressCount = 20_000

var (
	givenNames = strings.Fields(`Adele Alex Allan Amara Anders Bianca Carla Chidi Christie Debra Diego Elena Emily Enrico
		Fatima Gerhart Grady Hana Henrietta Ingrid Isaiah Jakub Johanna Joni Kiran Lee Lidia Lynne Malik Megan Miriam Nestor
		Noor Olav Patti Pradeep Quentin Rosa Sanna Tomasz Uma Viktor Wanda Xavier Yuki Zoltan`)
	familyNames = strings.Fields(`Abara Andersen Archie Berg Bianchi Cline Castro Dubois Dvorak Engel Fischer Garcia
		Gruber Hansen Holt Ivanova Jensen Johansson Kaur Kowalski Larsen Lombardi Meyer Moreau Nakamura Novak Okafor Olsen
		Petrov Quinn Rossi Santos Schmidt Silva Tanaka Torres Ueda Vance Virtanen Weber Wilber Xu Yilmaz Zimmer`)
	topics = strings.Fields(`Budget Forecast Contract Offer Minutes Roadmap Invoice Payroll Design Audit Onboarding Travel
		Inventory Research Survey Training Release Incident Pricing Merger`)
	extensions = []string{"docx", "xlsx", "pptx", "pdf", "csv", "zip", "png", "txt", "msg", "one"}
	folders    = []string{
		"Shared Documents", `Shared Documents\/General`, `Shared Documents\/Finance\/2026`, `Documents`,
		`Documents\/Projects`, `Documents\/Archive\/Old`, "SiteAssets",
	}
	mailFolders = []string{
		`\\Inbox`, `\\Sent Items`, `\\Deleted Items`, `\\Drafts`, `\\Archive`, `\\Inbox\\Projects`,
		`\\Junk Email`, `\\Calendar`, `\\Éléments supprimés`,
	}
	agents = []string{
		`Mozilla\/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/139.0.0.0 Safari\/537.36 Edg\/139.0.0.0`,
		`Mozilla\/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/138.0.0.0 Safari\/537.36`,
		`Mozilla\/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit\/605.1.15 (KHTML, like Gecko) Version\/18.4 Safari\/605.1.15`,
		`Mozilla\/5.0 (X11; Linux x86_64; rv:141.0) Gecko\/20100101 Firefox\/141.0`,
		`Mozilla\/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit\/605.1.15 (KHTML, like Gecko) Mobile\/15E148`,
		`Microsoft SkyDriveSync 25.127.0701.0008 ship; Windows NT 10.0 (26100)`,
		`MSWAC`, `OneDriveMpc-Transform_Thumbnail\/1.0`,
	}
	applications = []struct{ id, name string }{
		{"00000003-0000-0ff1-ce00-000000000000", "Office 365 SharePoint Online"},
		{"00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online"},
		{"5e3ce6c0-2b1f-4285-8d4b-75ee78787346", "Microsoft Teams Web Client"},
		{"d3590ed6-52b3-4102-aeff-aad2292ab01c", "Microsoft Office"},
		{"ab9b8c07-8f02-4f72-87fa-80105867a763", "OneDrive SyncEngine"},
		{"c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure Portal"},
		{"27922004-5251-4030-b22d-91ecd9a37ea4", "Outlook Mobile"},
	}
	servers = []string{
		`VI1PR04MB5056 (15.20.9052.012)\r\n`, `AM9PR08MB6211 (15.20.9031.007)\r\n`,
		`DB9PR06MB7641 (15.20.9052.013)`, `AS8PR04MB8120 (15.20.9052.012)\u000d\u000a`,
	}
	browsers  = []string{"Edge", "Chrome", "Safari", "Firefox", "Mobile Safari"}
	systems   = []string{"Windows 11", "Windows 10", "MacOs", "Linux", "Ios 18.5", "Android 15"}
	countries = []string{"DE", "US", "ES", "FR", "GB", "NL", "PL", "SE", "IN", "BR"}
)

// newVocabulary makes the vocabulary of a tenant; it depends only on its arguments.
func newVocabulary(seed uint64, tenant, name string, users int) *vocabulary {
	seed = mix(mixText(seed, tenant), forVocabulary)
	r := rng(seed)
	v := &vocabulary{seed: seed, tenant: tenant, label: label(name)}
	v.domain = v.label + ".onmicrosoft.com"
	v.ips = make([]string, addressCount)
	for i := range v.ips {
		v.ips[i] = address(&r)
	}
	v.users = make([]person, users)
	sidBase := fmt.Sprintf("S-1-5-21-%d-%d-%d-", r.next()>>33, r.next()>>33, r.next()>>33)
	for i := range v.users {
		given, family := givenNames[r.below(len(givenNames))], familyNames[r.below(len(familyNames))]
		alias := strings.ToLower(given+"."+family) + fmt.Sprint(i)
		v.users[i] = person{
			upn: alias + "@" + v.domain, name: given + " " + family,
			object: guidText(r.next()), mailbox: guidText(r.next()),
			puid: fmt.Sprintf("10032001%08X", uint32(r.next())), sid: sidBase + fmt.Sprint(20_000_000+i),
			drive: `https:\/\/` + v.label + `-my.sharepoint.com\/personal\/` + strings.NewReplacer(".", "_").Replace(alias) +
				"_" + strings.ReplaceAll(v.domain, ".", "_") + `\/`,
			home: r.below(addressCount),
		}
	}
	for i := range 200 {
		title := topics[r.below(len(topics))] + fmt.Sprint(i)
		v.sites = append(v.sites, site{
			url: `https:\/\/` + v.label + `.sharepoint.com\/sites\/` + title + `\/`, title: title,
		})
	}
	for i := range 64 {
		v.groups = append(v.groups, topics[i%len(topics)]+" team "+fmt.Sprint(i))
	}
	for range 500 {
		v.hosts = append(v.hosts, fmt.Sprintf("DESKTOP-%07X", r.next()>>36))
	}
	return v
}

// label turns a tenant's name into the first part of its domain.
func label(name string) string {
	text := strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			return c
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		}
		return -1
	}, name)
	if text == "" {
		return "tenant"
	}
	return text
}

// address makes a public-looking address; one in twelve is IPv6.
func address(r *rng) string {
	bits := r.next()
	if bits%12 == 0 {
		return fmt.Sprintf("2603:10a6:%x:%x::%x", bits>>52&0xfff, bits>>40&0xfff, bits>>28&0xfff)
	}
	first := []int{20, 40, 52, 62, 77, 80, 84, 91, 94, 104, 145, 178, 185, 193, 212}[bits>>8&0xff%15]
	return fmt.Sprintf("%d.%d.%d.%d", first, bits>>16&0xff, bits>>24&0xff, 1+(bits>>32)%254)
}
