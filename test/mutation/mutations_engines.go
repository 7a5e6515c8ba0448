package mutation

// journalRules are the rules of the journal and of those who read it.
func journalRules() []Mutation {
	const pkg, follow = "./internal/journal", "./internal/follow"
	return []Mutation{
		{
			Name: "a message id names one batch of one term", Keeps: []string{"rule 1"}, File: "internal/journal/journal.go",
			Old:  `return fmt.Sprintf("%s-%d", epoch, number)`,
			New:  `return fmt.Sprintf("%s-%d", epoch[:0], number)`,
			Test: Test{Package: pkg, Name: "TestMessageIDs"}, Fails: `took another batch for it`,
		},
		{
			Name: "a duplicate is a success only for the same batch", Keeps: []string{"rule 1"}, File: "internal/journal/journal.go",
			Old:  `case ours:`,
			New:  `case ours || after > 0:`,
			Test: Test{Package: pkg, Name: "TestPublishReadTrimReopen"}, Fails: `stale publisher: .*want conflict`,
		},
		{
			Name: "expected last sequence", Keeps: []string{"rule 5"}, File: "internal/journal/journal.go",
			Old:  `jetstream.WithMsgID(id), jetstream.WithExpectLastSequence(after),`,
			New:  `jetstream.WithMsgID(id),`,
			Test: Test{Package: pkg, Name: "TestFenceStopsOldPublisher"}, Fails: `old publisher after the fence: .*want conflict`,
		},
		{
			Name: "sync of every message", Keeps: []string{"rule 13", "law 1"}, File: "internal/journal/embedded.go",
			Old:  `SyncAlways: true,`,
			New:  `SyncAlways: false,`,
			Test: Test{Package: pkg, Name: "TestEveryMessageIsSynced"}, Fails: `is acknowledged and \d+ bytes of .* are not on the disk`,
		},
		{
			Name: "sync of the folder that got a new message file", Keeps: []string{"rule 13", "law 1"}, File: "internal/journal/journal.go",
			Old:  `return j.embedded.syncNewFiles()`,
			New:  `return nil`,
			Test: Test{Package: pkg, Name: "TestNewFilesAreNamedOnDisk"}, Fails: `the folder was not synced`,
		},
		{
			Name: "a failed server is replaced", Keeps: []string{"rule 13"}, File: "internal/journal/embedded.go",
			Old:  `			j.restart(ctx)`,
			New:  `			j.log.Debug("no restart")`,
			Test: Test{Package: pkg, Name: "TestAFailedServerIsReplaced"}, Fails: `waiting for: a server that takes over`,
		},
		{
			Name: "a full journal refuses and drops nothing", Keeps: []string{"rule 11", "law 1"}, File: "internal/journal/stream.go",
			Old:  `Discard: jetstream.DiscardNew,`,
			New:  `Discard: jetstream.DiscardOld,`,
			Test: Test{Package: pkg, Name: "TestNothingExpires"}, Fails: `discards`,
		},
		{
			Name: "no age limit", Keeps: []string{"rule 11"}, File: "internal/journal/stream.go",
			Old:  `Duplicates: 10 * time.Minute,`,
			New:  `Duplicates: 10 * time.Minute, MaxAge: 24 * time.Hour,`,
			Test: Test{Package: pkg, Name: "TestNothingExpires"}, Fails: `expire`,
		},
		{
			Name: "a new stream starts where it is told", Keeps: []string{"rule 10"}, File: "internal/journal/stream.go",
			Old:  `FirstSeq: max(first, 1),`,
			New:  `FirstSeq: min(first, 1),`,
			Test: Test{Package: pkg, Name: "TestFirstSequenceIsKept/clean end"}, Fails: `bounds 1\.\.0`,
		},
		{
			Name: "a replaced stream starts above the old one", Keeps: []string{"rule 10"}, File: "internal/journal/stream.go",
			Old:  `firstSeq = max(firstSeq, last+2)`,
			New:  `firstSeq = max(firstSeq, last-last)`,
			Test: Test{Package: pkg, Name: "TestReplace/below the stream"}, Fails: `the new stream begins at|want conflict`,
		},
		{
			Name: "a reader notices what was trimmed away", Keeps: []string{"rule 9"}, File: "internal/journal/reader.go",
			Old:  `	if seq > r.next {`,
			New:  `	if seq < r.next {`,
			Test: Test{Package: pkg, Name: "TestPublishReadTrimReopen"}, Fails: `reading below the trimmed part: .*want gone`,
		},
		{
			Name: "the journal is trimmed only below what the lake has", Keeps: []string{"rule 11"}, File: "internal/app/engines.go",
			Old:  `upTo := min(p.Seq, t.a.svc.publisher.Confirmed())`,
			New:  `upTo := max(p.Seq, t.a.svc.publisher.Confirmed())`,
			Test: Test{Package: "./internal/app", Name: "TestTrimmingStopsAtTheLake"}, Fails: `the journal begins at`,
		},
		{
			Name: "attached readers hold the journal", Keeps: []string{"rule 11"}, File: "internal/follow/readers.go",
			Old:  `floor = min(floor, a.position)`,
			New:  `floor = max(floor, a.position)`,
			Test: Test{Package: follow, Name: "TestPositionsAreDurable"}, Fails: `floor \d+, want 7`,
		},
		{
			Name: "a reader that is far behind is detached", Keeps: []string{"rule 11"}, File: "internal/follow/readers.go",
			Old:  `case !a.detached && (!reaches || a.behind > r.budget):`,
			New:  `case !a.detached && !reaches:`,
			Test: Test{Package: follow, Name: "TestBudgetDetachesAndAttachesAgain"}, Fails: `1100 bytes behind`,
		},
		{
			Name: "a reader that was overtaken goes on from the lake", Keeps: []string{"rule 11"}, File: "internal/follow/reader.go",
			Old:  `if fault.Is(err, fault.Gone) { // overtaken by trimming: the lake has it`,
			New:  `if fault.Is(err, fault.Conflict) {`,
			Test: Test{Package: follow, Name: "TestOvertakenReaderUsesTheLake"}, Fails: `trimmed`,
		},
		{
			Name: "a new journal begins above every known position", Keeps: []string{"rule 10"}, File: "internal/app/engines.go",
			Old:  `FirstSeq: known + 1, Logger`,
			New:  `FirstSeq: known - known + 1, Logger`,
			Test: Test{Package: "./internal/app", Name: "TestALostJournalBeginsAboveWhatIsKnown"}, Fails: `begins at`,
		},
		{
			Name: "an older copy of the journal is replaced", Keeps: []string{"rule 10"}, File: "internal/app/engines.go",
			Old:  `	if !older {`,
			New:  `	if older = false; !older {`,
			Test: Test{Package: "./internal/app", Name: "TestAnOlderJournalIsReplaced"}, Fails: `begins at`,
		},
		{
			Name: "a floor of free space", Keeps: []string{"rule 13"}, File: "internal/app/disk.go",
			Old:  `		if free < floor {`,
			New:  `		if free < 0 {`,
			Test: Test{Package: "./internal/app", Name: "TestSpaceGuard"}, Fails: `want kind "full"`,
		},
	}
}

// lakeRules are the rules of the lake writer.
func lakeRules() []Mutation {
	const pkg = "./internal/lake"
	return []Mutation{
		{
			Name: "fsync of data files", Keeps: []string{"rule 12"}, Quick: true, File: "internal/lake/commit.go",
			Old:  `	if cerr := f.Close(); err == nil {`,
			New:  `	if cerr := f.diskFile.Close(); err == nil {`,
			Test: Test{Package: pkg, Name: "TestPowerLoss"}, Fails: `the catalog points at what is gone`,
		},
		{
			Name: "fsync of metadata files", Keeps: []string{"rule 12"}, File: "internal/lake/fs.go",
			Old:  `	err := f.Sync()`,
			New:  `	var err error`,
			Test: Test{Package: pkg, Name: "TestPowerLoss"}, Fails: `invalid metadata|the catalog points at what is gone`,
		},
		{
			Name: "fsync of folders", Keeps: []string{"rule 12"}, File: "internal/lake/fs.go",
			Old:  `		err := fs.disk.syncFolder(dir)`,
			New:  `		var err error`,
			Test: Test{Package: pkg, Name: "TestPowerLoss"}, Fails: `there are no metadata files|the catalog points at what is gone`,
		},
		{
			Name: "fsync of the folders of data files", Keeps: []string{"rule 12"}, File: "internal/lake/fs.go",
			Old: `	fs.touch(filepath.Dir(path))
	return &durableFile{f}, nil`,
			New: `	if strings.HasSuffix(path, ".json") {
		fs.touch(filepath.Dir(path))
	}
	return &durableFile{f}, nil`,
			Test: Test{Package: pkg, Name: "TestPowerLoss"}, Fails: `the catalog points at what is gone`,
		},
		{
			Name: "after a failed commit nothing is deleted", Keeps: []string{"rule 12"}, File: "internal/lake/commit.go",
			Old: `	if err != nil {
		return w.afterFailure(ctx, t, p, to, err)`,
			New: `	if err != nil {
		for _, path := range paths {
			_ = os.Remove(path)
		}
		return w.afterFailure(ctx, t, p, to, err)`,
			Test: Test{Package: pkg, Name: "TestUnknownOutcome"}, Fails: `0 records, want 10`,
		},
		{
			Name: "a full disk is no second writer", Keeps: []string{"rule 13"}, File: "internal/lake/lake.go",
			Old:  `case k != fault.Internal:`,
			New:  `case k != fault.Internal && !errors.Is(err, table.ErrCommitFailed):`,
			Test: Test{Package: pkg, Name: "TestFullDiskAndLostFeed"}, Fails: `the writer says `,
		},
		{
			Name: "tables that moved long ago do not end the writer", Keeps: []string{"rule 12"}, File: "internal/lake/writer.go",
			Old:  `moved = 0 // a commit`,
			New:  `_ = before // a commit`,
			Test: Test{Package: pkg, Name: "TestMovesFarApart"}, Fails: `somebody else writes to the same tables`,
		},
		{
			Name: "the snapshot that a commit was built on is asserted", Keeps: []string{"rule 12"}, File: "internal/lake/catalog.go",
			Old: `	if n == 0 {
		return nil, "", fmt.Errorf(`,
			New: `	if n < 0 {
		return nil, "", fmt.Errorf(`,
			Test: Test{Package: pkg, Name: "TestACommitThatLostTheRaceIsMadeAgain"}, Fails: `of the lake is at 4 after a commit up to 5`,
		},
		{
			Name: "rows and position are one commit", Keeps: []string{"rule 9", "law 2"}, File: "internal/lake/commit.go",
			Old:  `if err := txn.SetProperties(to.properties()); err != nil {`,
			New:  `if err := ctx.Err(); err != nil {`,
			Test: Test{Package: pkg, Name: "TestWriterCommits"}, Fails: `is at \{ 0\}`,
		},
		{
			Name: "every table skips what it has", Keeps: []string{"rule 9"}, File: "internal/lake/pending.go",
			Old: `	if e.Seq <= t.position.Seq {
		return
	}
	p.row.Reset()`,
			New:  `	p.row.Reset()`,
			Test: Test{Package: pkg, Name: "TestPositionsPerTable"}, Fails: `is there twice`,
		},
		{
			Name: "the writer begins at the smallest position", Keeps: []string{"rule 9"}, File: "internal/lake/writer.go",
			Old:  `if first || pos.Seq < s.read.Seq {`,
			New:  `if first || pos.Seq > s.read.Seq {`,
			Test: Test{Package: pkg, Name: "TestPositionsPerTable"}, Fails: `records in syslog, want 5`,
		},
		{
			Name: "a table without rows advances too", Keeps: []string{"rule 9"}, File: "internal/lake/writer.go",
			Old:  `if p.has(s.read) {`,
			New:  `if p.has(s.read) || p.rows == 0 {`,
			Test: Test{Package: pkg, Name: "TestWriterCommits"}, Fails: `is at \{`,
		},
		{
			Name: "a position never goes back", Keeps: []string{"rule 9", "law 2"}, File: "internal/lake/pending.go",
			Old:  `t.position.Seq >= read.Seq`,
			New:  `t.position.Seq == read.Seq`,
			Test: Test{Package: pkg, Name: "TestATableAheadWaits"}, Fails: `want 4 of windows_events and 2 of syslog`,
		},
		{
			Name: "redelivery is ignored", Keeps: []string{"rule 9"}, File: "internal/lake/writer.go",
			Old:  `		return nil // delivered again`,
			New:  `		break`,
			Test: Test{Package: pkg, Name: "TestCrashAndRedelivery/files windows_events"}, Fails: `is there twice`,
		},
		{
			Name: "a gap stops the writer", Keeps: []string{"rule 9"}, File: "internal/lake/writer.go",
			Old:  `case e.Seq != s.read.Seq+1:`,
			New:  `case e.Seq < s.read.Seq+1:`,
			Test: Test{Package: pkg, Name: "TestNothingIsCommittedBehindAGap"}, Fails: `behind a gap`,
		},
		{
			Name: "a message that cannot be written goes to quarantine", Keeps: []string{"rule 9"}, File: "internal/lake/pending.go",
			Old:  `case e.Bad != nil:`,
			New:  `case e.Bad != nil && e.Raw == nil:`,
			Test: Test{Package: pkg, Name: "TestQuarantine"}, Fails: `\d rows in quarantine, want 5`,
		},
	}
}
