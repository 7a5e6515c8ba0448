package api_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
)

func TestParseTime(t *testing.T) {
	now := apitest.Now
	for text, want := range map[string]time.Time{
		"15m": now.Add(-15 * time.Minute), "24h": now.Add(-24 * time.Hour), "7d": now.AddDate(0, 0, -7), "2w": now.AddDate(0, 0, -14),
		"20y": now.Add(-20 * 365 * 24 * time.Hour), "1h30m": now.Add(-90 * time.Minute), "30s": now.Add(-30 * time.Second),
		"all": {}, "ALL": {}, "now": now, " 1h ": now.Add(-time.Hour),
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "2026-01-31T10:20:30Z": time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC),
		"2026-01-31T10:20:30.5+02:00": time.Date(2026, 1, 31, 8, 20, 30, 5e8, time.UTC), "2026-01-31 10:20:30": time.Date(2026, 1, 31, 10, 20, 30, 0, time.UTC),
	} {
		if got, err := api.ParseTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "d", "-1h", "+1h", "1.5h", "7days", "yesterday", "300y", "99999999999999999999h", "2026-02-30", "0h"} {
		if got, err := api.ParseTime(text, now); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"1h30m", "all", "2026-01-31", "9223372036854775807s", "292y1y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := api.ParseTime(text, apitest.Now)
		if err == nil && !got.IsZero() && got.Location() != time.UTC {
			t.Errorf("%q: not UTC", text)
		}
	})
}

func TestParseIndex(t *testing.T) {
	for text, want := range map[string]string{"windows_events": "windows_events", "Windows Events": "windows_events", "ALERTS": "alerts", " syslog ": "syslog", "all": "all"} {
		if got, ok := api.ParseIndex(text); !ok || got != want {
			t.Errorf("ParseIndex(%q) = %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "windowsevents", "all; drop"} {
		if got, ok := api.ParseIndex(text); ok {
			t.Errorf("ParseIndex(%q) = %q", text, got)
		}
	}
}

func TestLoadOrCreateToken(t *testing.T) {
	dir := t.TempDir()
	first, err := api.LoadOrCreateToken(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, api.TokenFile)
	mode := func() fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode() != 0o600 || len(first.Reveal()) < 40 {
		t.Errorf("mode %v, %d characters", mode(), len(first.Reveal()))
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := api.LoadOrCreateToken(dir)
	if err != nil || second.Reveal() != first.Reveal() || mode() != 0o600 {
		t.Errorf("second load: %v, same token %v, mode %v", err, second.Reveal() == first.Reveal(), mode())
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.LoadOrCreateToken(dir); err == nil {
		t.Error("a short token was accepted")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
