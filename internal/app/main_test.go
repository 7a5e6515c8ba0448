package app

import (
	"encoding/json"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/engine"
	"sluice/internal/lake/engine/enginetest"
	"sluice/internal/search"
)

func TestMain(m *testing.M) {
	enginetest.RunChild(engine.Hooks{Rebuild: lake.Rebuild})
	goleak.VerifyTestMain(m)
}

func TestSpaceGuard(t *testing.T) {
	const floor = 512 << 20
	away := errors.New("file system is away")
	for _, tt := range []struct {
		name string
		free int64
		err  error
		want fault.Kind // "": go on
	}{
		{name: "plenty", free: 10 << 30},
		{name: "exactly the floor", free: floor},
		{name: "a byte too little", free: floor - 1, want: fault.Full},
		{name: "nothing", free: 0, want: fault.Full},
		{name: "unknown", err: away, want: fault.Unavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			err := spaceGuard("/data", floor, func(path string) (int64, error) {
				asked = path
				return tt.free, tt.err
			})()
			if asked != "/data" {
				t.Errorf("asked for %q", asked)
			}
			switch {
			case tt.want == "" && err != nil, tt.want != "" && !fault.Is(err, tt.want):
				t.Errorf("got %v, want kind %q", err, tt.want)
			case tt.err != nil && !errors.Is(err, tt.err):
				t.Errorf("%v hides its cause", err)
			case tt.want == fault.Full && (fault.HintOf(err) == "" || !strings.Contains(err.Error(), "/data")):
				t.Errorf("%v (hint %q) does not say where and what to do", err, fault.HintOf(err))
			}
		})
	}
}

// TestSpaceGuardRecovers checks that the guard looks again each time.
func TestSpaceGuardRecovers(t *testing.T) {
	free := int64(1)
	guard := spaceGuard("/data", 2, func(string) (int64, error) { return free, nil })
	if err := guard(); !fault.Is(err, fault.Full) {
		t.Fatalf("got %v", err)
	}
	free = 2
	if err := guard(); err != nil {
		t.Fatalf("space was freed: %v", err)
	}
}

func TestDiskSpace(t *testing.T) {
	if free, err := diskSpace(t.TempDir()); err != nil || free <= 0 {
		t.Errorf("%d bytes, %v", free, err)
	}
	if _, err := diskSpace(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing folder has free space")
	}
}

func TestJournalBudget(t *testing.T) {
	const least = 256 << 20
	dir := t.TempDir()
	if got := journalBudget(dir, least); got != least {
		t.Errorf("limit %d gives %d", least, got)
	}
	if got := journalBudget(dir, math.MaxInt64); got < least || got == math.MaxInt64 {
		t.Errorf("without a limit the budget is %d: it does not look at the disk", got)
	}
	if got := journalBudget(filepath.Join(dir, "missing"), 5<<30); got != 5<<30 {
		t.Errorf("unknown space gives %d, want the limit", got)
	}
	held, before := filepath.Join(dir, "held"), journalBudget(dir, math.MaxInt64)
	if err := os.WriteFile(held, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(held, 1<<40); err != nil {
		t.Skip(err) // takes no space, where there are such files
	}
	if got := journalBudget(dir, math.MaxInt64); got-before < 1<<38 {
		t.Errorf("a journal that holds 1 TiB may have %d, an empty one %d: it shrinks by what it holds", got, before)
	}
}

func TestDiskKind(t *testing.T) {
	for err, want := range map[error]fault.Kind{
		&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: fault.Full,
		syscall.EDQUOT:      fault.Full,
		os.ErrPermission:    fault.Config,
		errors.New("other"): fault.Config,
	} {
		if got := diskKind(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestReachable(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4zero, Port: 8365}, "127.0.0.1:8365"},
		{&net.TCPAddr{IP: net.IPv6unspecified, Port: 8365}, "127.0.0.1:8365"},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "127.0.0.1:1"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 1}, "[::1]:1"},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 65535}, "192.0.2.7:65535"},
		{&net.UnixAddr{Name: "/run/sluice", Net: "unix"}, "/run/sluice"},
	} {
		if got := reachable(tt.addr); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.addr, got, tt.want)
		}
	}
}

func TestDataDirIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openDataDir(path)
	if !fault.Is(err, fault.Conflict) {
		t.Fatalf("second open: %v", err)
	}
	if want := "process " + strconv.Itoa(os.Getpid()); !strings.Contains(err.Error(), want) || fault.HintOf(err) == "" {
		t.Errorf("%v (hint %q) does not name %q", err, fault.HintOf(err), want)
	}
	d.Close()
	again, err := openDataDir(path)
	if err != nil {
		t.Fatalf("after the first was closed: %v", err)
	}
	again.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v: others can read the folder", info.Mode(), err)
	}
}

func TestDataDirFormat(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       fault.Kind
		says       string
	}{
		{name: "this version", text: `{"format":` + strconv.Itoa(dataFormat) + `}`},
		{name: "with fields of a later release of this format", text: `{"format":1,"more":true}`},
		{name: "newer", text: `{"format":` + strconv.Itoa(dataFormat+1) + `}`, want: fault.Config, says: "newer version"},
		{name: "damaged", text: `{"form`, want: fault.Config, says: "unreadable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			file := filepath.Join(path, formatFile)
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a refusal leaves the folder unlocked, so the second answer is the same
				d, err := openDataDir(path)
				if err == nil {
					d.Close()
				}
				switch {
				case tt.want == "" && err != nil, tt.want != "" && !fault.Is(err, tt.want):
					t.Fatalf("got %v, want kind %q", err, tt.want)
				case tt.want != "" && (!strings.Contains(err.Error(), tt.says) || fault.HintOf(err) == ""):
					t.Errorf("%v (hint %q) lacks %q", err, fault.HintOf(err), tt.says)
				}
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != tt.text {
				t.Errorf("the file was changed to %q, %v", text, err)
			}
		})
	}
}

// TestDataDirAfterAFullDisk: the first start left an empty file; the second, with space, is a first start too.
func TestDataDirAfterAFullDisk(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, formatFile)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if text, err := os.ReadFile(file); err != nil || !json.Valid(text) || d.node == "" {
		t.Errorf("%q, node %q, %v", text, d.node, err)
	}
}

func TestDataDirWritesItsFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := os.ReadFile(filepath.Join(path, formatFile))
	var c struct{ Format int }
	if err != nil || json.Unmarshal(text, &c) != nil || c.Format != dataFormat {
		t.Errorf("%q, %v", text, err)
	}
	sub, err := d.sub("lake")
	if err != nil || sub != filepath.Join(path, "lake") {
		t.Errorf("%q, %v", sub, err)
	}
}

func TestAppendColumns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		columns []string
		values  []any
		want    string
	}{
		{"none", nil, nil, `{}`},
		{"kinds", []string{"s", "n", "b", "f"}, []any{"x", int64(7), true, 1.5}, `{"s":"x","n":7,"b":true,"f":1.5}`},
		{"absent values are left out", []string{"a", "b", "c"}, []any{nil, 1, nil}, `{"b":1}`},
		{"all absent", []string{"a"}, []any{nil}, `{}`},
		{"numbers that JSON has not", []string{"a", "b", "c"}, []any{math.NaN(), math.Inf(1), math.Inf(-1)}, `{"a":"NaN","b":"+Inf","c":"-Inf"}`},
		{"names are quoted", []string{"a\"b\n"}, []any{0}, `{"a\"b\n":0}`},
		{"nested", []string{"l"}, []any{[]any{"x", nil, int64(1)}}, `{"l":["x",null,1]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			columns := make([]search.Column, len(tt.columns))
			for i, name := range tt.columns {
				columns[i].Name = name
			}
			got, err := appendColumns(nil, columns, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(got) {
				t.Errorf("%s is no JSON", got)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAppendColumnsNamesTheColumn(t *testing.T) {
	_, err := appendColumns(nil, []search.Column{{Name: "odd"}}, []any{make(chan int)})
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "odd") {
		t.Errorf("got %v", err)
	}
}
