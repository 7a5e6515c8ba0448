package mutation

const collect = "./internal/collect"

// listing are the rules by which nothing that Microsoft lists is overlooked.
func listing() []Mutation {
	const file = "internal/collect/listing.go"
	return []Mutation{
		{
			Name: "overlap", Keeps: []string{"law 1"}, Quick: true, File: file,
			Old:  `if m := mark.Add(-overlap); !mark.IsZero()`,
			New:  `if m := mark.Add(-overlap / overlap); !mark.IsZero()`,
			Test: Test{Package: collect, Name: "TestLateContent/within the overlap"}, Fails: `\d units are listed, want \d`,
		},
		{
			Name: "hourly sweep", Keeps: []string{"law 1"}, Quick: true, File: file,
			Old:  `case now.Sub(m.SweptDay) >= sweepDayEvery:`,
			New:  `case false:`,
			Test: Test{Package: collect, Name: "TestLateContent/within a day"}, Fails: `\d units are listed, want \d`,
		},
		{
			Name: "twice-daily sweep", Keeps: []string{"law 1"}, File: file,
			Old:  `case now.Sub(m.SweptAll) >= sweepAllEvery:`,
			New:  `case m.SweptAll.IsZero():`,
			Test: Test{Package: collect, Name: "TestLateContent/within what the service lists"}, Fails: `\d units are listed, want \d`,
		},
		{
			Name: "a sweep that failed does not count", Keeps: []string{"law 1"}, File: file,
			Old:  `case !complete || depth == 0:`,
			New:  `case depth == 0:`,
			Test: Test{Package: collect, Name: "TestASweepThatFailedIsRepeated"}, Fails: `\d units are listed, want \d`,
		},
		{
			Name: "the mark never passes an open unit", Keeps: []string{"law 1"}, File: file,
			Old:  `for _, t := range []time.Time{oldestOpen, marks.ListedUntil} {`,
			New:  `for _, t := range []time.Time{oldestOpen, marks.ListedUntil}[1:] {`,
			Test: Test{Package: collect, Name: "TestMarkNeverPassesAnOpenUnit"}, Fails: `after the open unit`,
		},
		{
			Name: "the mark never passes a window that could not be listed", Keeps: []string{"law 1"}, File: file,
			Old:  `until, err = failedAt, windowErr`,
			New:  `_, until, err = failedAt, to, windowErr`,
			Test: Test{Package: collect, Name: "TestOneBadWindowDoesNotHoldUpTheNewest"}, Fails: `could not be listed`,
		},
		{
			Name: "a gap is recorded", Keeps: []string{"law 1"}, File: file,
			Old:  `if from.IsZero() || !from.Before(oldest) {`,
			New:  `if !oldest.IsZero() {`,
			Test: Test{Package: collect, Name: "TestGapAfterALongOutage"}, Fails: `want one from`,
		},
		{
			Name: "the time in which a subscription was off is a gap", Keeps: []string{"law 1", "law 5"}, File: file,
			Old:  `if slices.Contains(started, f.contentType) {`,
			New:  `if slices.Contains(started, "") {`,
			Test: Test{Package: collect, Name: "TestSubscriptionThatWasOff/started by the next preparation"}, Fails: `want one of 1h30m`,
		},
		{
			Name: "so is it when a listing found out and mended it", Keeps: []string{"law 1", "law 5"}, File: file,
			Old:  `f.prepared, f.startedAt = false, at`,
			New:  `f.prepared = at.IsZero()`,
			Test: Test{Package: collect, Name: "TestSubscriptionThatWasOff/started by the listing"}, Fails: `want one of 1h0m`,
		},
		{
			Name: "marks of the future are not believed", Keeps: []string{"law 1"}, File: file,
			Old:  `if t.After(now.Add(skewLimit)) {`,
			New:  `if t.After(now.Add(skewLimit * 1e6)) {`,
			Test: Test{Package: collect, Name: "TestMarksOfAClockThatWasAhead"}, Fails: `units are listed`,
		},
		{
			Name: "a part that was refused keeps its unit open", Keeps: []string{"rule 4", "law 1"}, File: "internal/collect/publisher.go",
			Old:  `f.complete = f.complete && (f.total == nil || !f.total.refused)`,
			New:  `f.complete = f.complete && (f.total == nil || f.total != nil)`,
			Test: Test{Package: collect, Name: "TestAPartThatWasRefusedKeepsTheUnitOpen"}, Fails: `records landed, want 2`,
		},
		{
			Name: "a journal that lost its end is looked into", Keeps: []string{"rule 10"}, File: "internal/collect/recover.go",
			Old:  `return b.Position.Seq < first, err`,
			New:  `return b.Position.Seq < first+1<<40, err`,
			Test: Test{Package: collect, Name: "TestJournalThatLostItsNewestMessages"}, Fails: `the lake has 8 records, want 18`,
		},
		{
			Name: "what was trimmed during recovery is not missed", Keeps: []string{"rule 10", "law 2"}, File: "internal/collect/recover.go",
			Old:  `return b.Position.Seq < first, err`,
			New:  `return b.Position.Seq < first-first, err`,
			Test: Test{Package: collect, Name: "TestJournalThatIsTrimmedDuringRecovery"}, Fails: `batches vanished`,
		},
		{
			Name: "what the lake has of a lost batch stays claimed", Keeps: []string{"rule 10", "law 2"}, File: "internal/collect/recover.go",
			Old:  `rows = append(rows, claim)`,
			New:  `rows = append(rows[:0], claim)[:0]`,
			Test: Test{Package: collect, Name: "TestLostJournalAndAnotherUnit"}, Fails: `is in the lake 2 times`,
		},
		{
			Name: "recovery waits for a lake that does not answer", Keeps: []string{"rule 3"}, File: "internal/collect/recover.go",
			Old: `if ctx.Err() != nil {
			return err
		}
		if err := p.pause`,
			New: `if ctx.Err() != nil || fault.KindOf(err) != fault.Full {
			return err
		}
		if err := p.pause`,
			Test: Test{Package: collect, Name: "TestOlderState"}, Fails: `publisher: `,
		},
		{
			Name: "a body that was cut is fetched again", Keeps: []string{"rule 4"}, File: "internal/collect/fetch.go",
			Old: `Fetch(ctx, u.Unit) {
		if err != nil {
			p.release(frag.reserved)
			return err
		}`,
			New: `Fetch(ctx, u.Unit) {
		if err != nil {
			break
		}`,
			Test: Test{Package: collect, Name: "TestLargeUnitGoesInParts"}, Fails: `records, want 1500`,
		},
		{
			Name: "ids of filtered records are not stored", Keeps: []string{"rule 7"}, File: "internal/collect/fetch.go",
			Old: `			frag.drop(by, int64(len(item.Raw)))
`,
			New: `			frag.drop(by, int64(len(item.Raw)))
			w.write(ctx, func(s *state.Step) error {
				number, err := s.OpenBatch()
				if err == nil {
					_, err = s.Claim(number, []state.Claim{rec.claim})
				}
				if err == nil {
					err = s.Confirm(number, state.Position{})
				}
				return err
			})
`,
			Test: Test{Package: collect, Name: "TestFilteredRecordsAreNotClaimed"}, Fails: `without filters: `,
		},
		{
			Name: "only Microsoft says that content is lost", Keeps: []string{"rule 15", "law 1"}, File: "internal/collect/fetch.go",
			Old:  `case gone(err):`,
			New:  `case gone(err) || u.Attempt > 0:`,
			Test: Test{Package: collect, Name: "TestFailuresAreRetriedAndPoisonDoesNotBlock"}, Fails: `gave up waiting|want 18 landed`,
		},
		{
			Name: "content that expired is shown as lost", Keeps: []string{"rule 10", "law 1"}, File: "internal/collect/feed.go",
			Old:  `return past() && (answered(err) || f.askTime(ctx) && past())`,
			New:  `return past() && f.askTime(ctx) && past()`,
			Test: Test{Package: collect, Name: "TestContentThatExpiredIsShownAsLost"}, Fails: `a week later .*want one lost`,
		},
		{
			Name: "nothing expires by a clock alone", Keeps: []string{"rule 15", "law 1"}, File: "internal/collect/feed.go",
			Old:  `return past() && (answered(err) || f.askTime(ctx) && past())`,
			New:  `return past()`,
			Test: Test{Package: collect, Name: "TestContentThatExpiredIsShownAsLost"}, Fails: `when nobody answers: .*want one pending`,
		},
		{
			Name: "an empty unit is not believed", Keeps: []string{"rule 6", "law 1"}, File: "internal/collect/look.go",
			Old:  `if !empty && !f.everyLook()`,
			New:  `if !f.everyLook()`,
			Test: Test{Package: collect, Name: "TestAnEmptyUnitIsLookedAtAgain"}, Fails: `units are looked at again, want 1`,
		},
		{
			Name: "second look", Keeps: []string{"rule 6"}, File: "internal/collect/look.go",
			Old:  `return f.r.deps.Clock.Now().Add(lookAfter)`,
			New:  `return time.Time{}`,
			Test: Test{Package: collect, Name: "TestUnitsAreLookedAtAgain"}, Fails: `0 units are looked at again, want 2`,
		},
		{
			Name: "growth makes all units looked at again", Keeps: []string{"rule 6"}, File: "internal/collect/look.go",
			Old:  `	f.growing = true`,
			New:  `	f.growing = false`,
			Test: Test{Package: collect, Name: "TestGrowthMakesAllUnitsLookedAtAgain"}, Fails: `0 units are looked at again, want 1`,
		},
		{
			Name: "a wait that was asked for is obeyed", Keeps: []string{"law 1"}, File: "internal/collect/retry.go",
			Old:  `if d := fault.RetryAfterOf(err); d > 0 {`,
			New:  `if d := fault.RetryAfterOf(err); d < 0 {`,
			Test: Test{Package: collect, Name: "TestBackoff"}, Fails: `want between`,
		},
		{
			Name: "throttling holds back the backlog", Keeps: []string{"law 1"}, File: "internal/collect/feed.go",
			Old:  `f.r.pause(wait)`,
			New:  `f.r.pause(-wait)`,
			Test: Test{Package: collect, Name: "TestThrottlingHoldsBackTheBacklog"}, Fails: `asked to wait`,
		},
	}
}

// crashes says that a test needs the fail points.
const crashes = "sluicetest"

// publishing is the way of a batch from its claim to the ledger.
func publishing() []Mutation {
	const file = "internal/collect/publisher.go"
	return []Mutation{
		{
			Name: "ids before journal", Keeps: []string{"rule 2"}, Quick: true, File: file,
			Old: `				batch, err = p.claim(s, group)
				return err
`,
			New: `				if batch, err = p.claim(s, group); err != nil || batch == nil {
					return err
				}
				data, err := p.codec.Encode(batch)
				if err == nil {
					_, err = p.cfg.Journal.Publish(ctx, batch.Epoch, batch.Number, data, p.last)
				}
				failpoint.Hit(failpoint.CollectPublished)
				return err
`,
			Test: Test{Package: collect, Name: "TestKillBetweenEffects/collect/published", Tags: crashes}, Fails: `counts|restored|fetched`,
		},
		{
			Name: "journal before ledger", Keeps: []string{"rule 2", "rule 4"}, File: file,
			Old: `	failpoint.Hit(failpoint.CollectFrozen)
`,
			New: `	if err := p.cfg.State.Step(ctx, p.term, func(s *state.Step) error {
		return s.Confirm(b.Number, state.Position{Stream: p.cfg.Journal.StreamID(), Seq: p.last + 1})
	}); err != nil {
		return err
	}
	failpoint.Hit(failpoint.CollectFrozen)
`,
			Test: Test{Package: collect, Name: "TestKillBetweenEffects/collect/frozen", Tags: crashes}, Fails: `counts|restored|fetched`,
		},
		{
			Name: "free space is looked at before anything is written", Keeps: []string{"rule 13"}, File: file,
			Old:  `err := p.guard()`,
			New:  `var err error`,
			Test: Test{Package: collect, Name: "TestGuardMakesCollectingWait"}, Fails: `gave up waiting for the problem`,
		},
		{
			Name: "the lake is asked only when it has what is published", Keeps: []string{"rule 8"}, File: "internal/collect/asklake.go",
			Old:  `if err := p.cfg.Lake.Committed(ctx, seq); err != nil {`,
			New:  `if _, err := seq, ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestTheLakeIsAskedWhenItHasEverything"}, Fails: `is in the journal twice`,
		},
		{
			Name: "ids below the floor are looked up in the lake", Keeps: []string{"rule 8"}, File: "internal/collect/asklake.go",
			Old:  `old := floor > 0 && second > 0 && int64(second)`,
			New:  `old := floor < 0 && second > 0 && int64(second)`,
			Test: Test{Package: collect, Name: "TestOldRecordsAreLookedUpInTheLake"}, Fails: `gave up waiting for 3 landed`,
		},
		{
			Name: "a tenant's generation is part of the keys", Keeps: []string{"rule 8"}, File: "internal/collect/prepare.go",
			Old:  `normalize.ClaimKey(p.generation, id.ID)`,
			New:  `normalize.ClaimKey(0*p.generation, id.ID)`,
			Test: Test{Package: collect, Name: "TestErasedDataLandAgain"}, Fails: `collected anew: `,
		},
		{
			Name: "rows that are being erased are no answer of the lake", Keeps: []string{"rule 8"}, File: "internal/collect/asklake.go",
			Old:  `return row, ok && !p.erasures.cover(row)`,
			New:  `return row, ok`,
			Test: Test{Package: collect, Name: "TestErasedDataLandAgain/rows_still_there,_lake_asked"}, Fails: `collected anew: `,
		},
		{
			Name: "what was read before an erasure does not land behind it", Keeps: []string{"rule 8"}, File: "internal/collect/erase.go",
			Old:  `f.generation != p.erasures.generation(tenant) {`,
			New:  `f.generation > p.erasures.generation(tenant) {`,
			Test: Test{Package: collect, Name: "TestFragmentsOfErasedDataAreRefused"}, Fails: `gave up waiting for the refusal`,
		},
		{
			Name: "ids that are read from the journal have the tenant's generation", Keeps: []string{"rule 8", "rule 3"}, File: "internal/collect/recover.go",
			Old:  `a.content.claim(a.r.p.erasures.generation(row.TenantName), row.ID`,
			New:  `a.content.claim(0*a.r.p.erasures.generation(row.TenantName), row.ID`,
			Test: Test{Package: collect, Name: "TestErasedDataLandAgainAfterARestart"}, Fails: `want duplicates`,
		},
		{
			Name: "a healed unit asks the lake", Keeps: []string{"rule 10"}, File: "internal/collect/asklake.go",
			Old:  `if !all && !old {`,
			New:  `if !old {`,
			Test: Test{Package: collect, Name: "TestVerifyFindsAndRepairsRecordsThatTheLakeLost"}, Fails: `the lake has \d+ records, want 40`,
		},
		{
			Name: "a take-over names the last batch that the lake had", Keeps: []string{"rule 10"}, File: "internal/collect/asklake.go",
			Old:  `lake := lakeAnswer{settled: number,`,
			New:  `lake := lakeAnswer{settled: number + 1<<40,`,
			Test: Test{Package: collect, Name: "TestATakeOverLeavesLaterBatchesAlone"}, Fails: `is in the journal twice`,
		},
	}
}

// recovery is what a start finds out about the time before.
func recovery() []Mutation {
	const file = "internal/collect/recover.go"
	return []Mutation{
		{
			Name: "a new owner writes a fence first", Keeps: []string{"rule 5"}, File: file,
			Old:  `ack, fenceErr := p.cfg.Journal.Fence(ctx, p.term.Epoch, last)`,
			New:  `ack, fenceErr := journal.Ack{Seq: last}, error(nil)`,
			Test: Test{Package: collect, Name: "TestTheOldPublisherIsFencedOff"}, Fails: `want conflict`,
		},
		{
			Name: "the journal is read at the start", Keeps: []string{"rule 3"}, File: file,
			Old:  `if err := r.readFrom(ctx, from, open); err != nil {`,
			New:  `if _, err := from, ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestCrashBetweenPublishAndConfirm"}, Fails: `is in the journal twice`,
		},
		{
			Name: "open batches that the journal does not have become void", Keeps: []string{"rule 3"}, File: file,
			Old: `			r.void++
			if err := s.Void(b.Number); err != nil {`,
			New: `			r.void++
			if err := s.Confirm(b.Number, state.Position{}); err != nil {`,
			Test: Test{Package: collect, Name: "TestCrashBetweenClaimAndPublish"}, Fails: `0 records after the crash, want 2`,
		},
		{
			Name: "batches that the state does not know are adopted", Keeps: []string{"rule 3"}, File: file,
			Old:  `if err := r.adoptMessage(ctx, m, pos); err != nil {`,
			New:  `if err := ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestOlderState/trimmed=false"}, Fails: `is in the lake 2 times`,
		},
		{
			Name: "where the journal was trimmed, ids come from the lake", Keeps: []string{"rule 3"}, File: file,
			Old:  `if err := r.adoptLake(ctx); err != nil {`,
			New:  `if err := ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestOlderState/trimmed=true"}, Fails: `is in the lake 2 times`,
		},
		{
			Name: "batches that the journal lost become void", Keeps: []string{"rule 10"}, File: file,
			Old:  `if b.Position.Stream == stream && b.Position.Seq < p.last {`,
			New:  `if b.Position.Stream+stream != "" && b.Position.Seq < p.last {`,
			Test: Test{Package: collect, Name: "TestLostJournal"}, Fails: `the lake has \d+ records, want 24`,
		},
	}
}
