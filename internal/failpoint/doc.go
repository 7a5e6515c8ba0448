// Package failpoint ends the program, or makes a step fail, at a named place in the code: the moments between two durable
// effects that a kill -9 from outside hits only by luck. The tests of the collection path (test/soak) use it to prove
// that a crash there neither loses nor repeats a record.
//
// The code calls Hit where a crash is interesting, and Err where it can also carry on with an error:
//
//	failpoint.Hit("collect/published") // the journal has the batch, the ledger does not know it yet
//
//	if err := failpoint.Err("lake/committed"); err != nil {
//		return err
//	}
//
// In ordinary builds both are empty functions that the compiler removes; nothing is read from the environment, and no
// setting can switch a point on. Only a build with the tag sluicetest obeys the environment variable
//
//	SLUICE_FAILPOINT=collect/published@3=kill,lake/committed=error
//
// a list of NAME[@N]=ACTION. The N-th call (from 1, the default) of that name acts, once: kill ends the process with
// SIGKILL, as a power cut would; error makes Err return an error of kind fault.Unavailable, and is ignored by Hit. A value that
// cannot be read ends the process with a message: a test that believes in a point that does not exist proves nothing.
//
// Names are PACKAGE/WHAT-HAS-JUST-HAPPENED. Names lists those that the program is expected to have; a test build that runs past a place which
// is not in the list still works, so a new point needs no change here, but test/soak draws from the list.
package failpoint

// The points of the collection path, in the order in which a record passes them.
const (
	CollectListed       = "collect/listed"         // a listing's units are in the ledger
	CollectClaimed      = "collect/claimed"        // a batch has claimed its ids; it is not encoded yet
	CollectFrozen       = "collect/frozen"         // the bytes of a batch are final
	JournalBefore       = "journal/before-publish" // a message is about to be sent
	JournalAfter        = "journal/after-publish"  // the journal has acknowledged a message
	CollectPublished    = "collect/published"      // a batch is in the journal; the ledger does not know it
	StateCommitted      = "state/committed"        // a transaction of the collection path has been committed
	CollectConfirmed    = "collect/confirmed"      // the ledger knows that a batch is in the journal
	CollectSettled      = "collect/settled"        // a unit has landed
	CollectFailRecorded = "collect/fail-recorded"  // the failure of a unit is in the ledger
	CollectHealed       = "collect/healed"         // what a recovery voided or queued again is in the ledger
	LakeFilesWritten    = "lake/files-written"     // data files are on disk; the catalog does not know them
	LakeTableCommitted  = "lake/table-committed"   // one table of a commit is in the catalog
	LakeCommitted       = "lake/committed"         // all tables of a commit are in the catalog
)

// Names lists the points above.
func Names() []string {
	return []string{
		CollectListed, CollectClaimed, CollectFrozen, JournalBefore, JournalAfter, CollectPublished, StateCommitted,
		CollectConfirmed, CollectSettled, CollectFailRecorded, CollectHealed, LakeFilesWritten, LakeTableCommitted, LakeCommitted,
	}
}
