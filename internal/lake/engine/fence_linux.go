package engine

import (
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// niceness of a child: collection comes first.
const niceness = 5

// limitProcess bounds the memory of the process and lowers its priority. Memory beyond the limit is refused by the
// kernel, which the engine reports as out of memory; its own memory_limit does not bound single large values.
func limitProcess(dataBytes int64) error {
	if dataBytes > 0 {
		limit := unix.Rlimit{Cur: uint64(dataBytes), Max: uint64(dataBytes)} // #nosec G115 -- positive
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
			return err
		}
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
}

// restrict lets the process read the given files, write in its temporary folder and nothing else, as far as the kernel
// supports it.
func restrict(files []string, tempDir string) error {
	rules := []landlock.Rule{landlock.RWDirs(tempDir)}
	if len(files) > 0 {
		rules = append(rules, landlock.ROFiles(files...).IgnoreIfMissing())
	}
	return landlock.V11.BestEffort().Restrict(rules...)
}
