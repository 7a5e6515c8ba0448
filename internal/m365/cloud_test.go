package m365

import (
	"strings"
	"testing"
)

func TestCheckCloud(t *testing.T) {
	const (
		com = "https://login.microsoftonline.com"
		us  = "https://login.microsoftonline.us"
		de  = "https://login.microsoftonline.de"
		cn  = "https://login.partner.microsoftonline.cn"
	)
	// For every pair of plan and address: what the warning says beside the plan's usual address; "" means that they fit.
	tests := []struct{ plan, authority, says string }{
		{"enterprise", com, ""},
		{"enterprise", us, "of gcc_high and dod"},
		{"enterprise", de, "closed on 29 October 2021"},
		{"enterprise", cn, "China cloud"},
		{"gcc", com, ""},
		{"gcc", us, "of gcc_high and dod"},
		{"gcc", de, "closed on 29 October 2021"},
		{"gcc", cn, "China cloud"},
		{"gcc_high", com, "of enterprise and gcc"},
		{"gcc_high", us, ""},
		{"gcc_high", de, "closed on 29 October 2021"},
		{"gcc_high", cn, "China cloud"},
		{"dod", com, "of enterprise and gcc"},
		{"dod", us, ""},
		{"dod", de, "closed on 29 October 2021"},
		{"dod", cn, "China cloud"},
		{"", us, "of gcc_high and dod"}, // the default is enterprise
		{"enterprise", "", ""},
		{"enterprise", "https://login.windows.net/", ""}, // an older name of the same host
		{"enterprise", "HTTPS://Login.MicrosoftOnline.COM", ""},
		{"enterprise", "https://login.chinacloudapi.cn", "China cloud"},
		{"enterprise", "https://login.sovcloud-identity.fr", "sovereign cloud"},
		{"enterprise", "https://login.micrsoftonline.com", "not one of Microsoft's sign-in hosts"},
		{"enterprise", "https://127.0.0.1:8443", ""},
		{"enterprise", "http://localhost:8443", ""},
		{"gold", us, ""}, // an unknown plan is a mistake of its own
		{"enterprise", "%", ""},
	}
	for _, tt := range tests {
		got := CheckCloud(tt.plan, tt.authority)
		p, _ := PlanByName(tt.plan)
		switch {
		case tt.says == "" && got != "":
			t.Errorf("%s with %s: %q, want no warning", tt.plan, tt.authority, got)
		case tt.says != "" && (!strings.Contains(got, tt.says) || !strings.Contains(got, p.Name) || !strings.Contains(got, p.LoginURL)):
			t.Errorf("%s with %s: %q, want %q and the usual pair", tt.plan, tt.authority, got, tt.says)
		}
	}
}
