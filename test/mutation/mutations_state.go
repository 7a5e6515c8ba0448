package mutation

// stateRules are the rules that are kept by transactions of the state database.
func stateRules() []Mutation {
	const pkg = "./internal/state"
	return []Mutation{
		{
			Name: "every write checks the epoch", Keeps: []string{"rule 5"}, File: "internal/state/terms.go",
			Old:  `if epoch != term.Epoch || term.Epoch == "" || doubtful {`,
			New:  `if term.Epoch == "" || doubtful {`,
			Test: Test{Package: pkg, Name: "TestLostTermWritesNothing"}, Fails: `the function of a lost term was called`,
		},
		{
			Name: "one publisher per subject", Keeps: []string{"rule 5"}, File: "internal/state/terms.go",
			Old:  `epoch != "" && other != holder && until.After(now) {`,
			New:  `epoch == "" && other != holder && until.After(now) {`,
			Test: Test{Package: pkg, Name: "TestTerms"}, Fails: `want kind "conflict"`,
		},
		{
			Name: "batch numbers are never used again", Keeps: []string{"rule 1"}, File: "internal/state/batch.go",
			Old:  `err != nil || number <= last {`,
			New:  `err != nil || number > 0 {`,
			Test: Test{Package: pkg, Name: "TestAdopt"}, Fails: `number \d+ after 50 was adopted`,
		},
		{
			Name: "claims and counts are one transaction", Keeps: []string{"rule 2"}, File: "internal/state/tx.go",
			Old:  `t.w.conn.ExecContext(t.ctx, "ROLLBACK")`,
			New:  `t.w.conn.ExecContext(t.ctx, "COMMIT")`,
			Test: Test{Package: pkg, Name: "TestStepIsAtomic"}, Fails: `after a step that failed`,
		},
		{
			Name: "ids of a void batch can be claimed again", Keeps: []string{"rule 2"}, File: "internal/state/claim.go",
			Old:  `	if h.state == batchVoid {`,
			New:  `	if h.state < 0 {`,
			Test: Test{Package: pkg, Name: "TestClaimOfVoidBatch"}, Fails: `got \[.*\], want \[`,
		},
		{
			Name: "an id twice in one unit is a duplicate", Keeps: []string{"rule 2"}, File: "internal/state/claim.go",
			Old:  `		if row.pos != pos {`,
			New:  `		if row.pos < 0 {`,
			Test: Test{Package: pkg, Name: "TestClaim"}, Fails: `got \[.*\], want \[`,
		},
		{
			Name: "a unit waits for the batch that holds its duplicate", Keeps: []string{"rule 4", "rule 5"}, File: "internal/state/claim.go",
			Old:  `b.waits[row.wait] = struct{}{}`,
			New:  `delete(b.waits, row.wait)`,
			Test: Test{Package: pkg, Name: "TestUnitWaitsForBatchThatHoldsItsRecord"}, Fails: `its record is in the open batch`,
		},
		{
			Name: "a unit lands only when its body was complete", Keeps: []string{"rule 4"}, File: "internal/state/settle.go",
			Old:  `lands := h.complete && !shared[h.id]`,
			New:  `lands := !shared[h.id]`,
			Test: Test{Package: pkg, Name: "TestVoidOfEarlierPartKeepsUnitOpen"}, Fails: `want listed with one record`,
		},
		{
			Name: "a unit lands only when all its batches are published", Keeps: []string{"rule 4"}, File: "internal/state/settle.go",
			Old:  `lands := h.complete && !shared[h.id]`,
			New:  `lands := h.complete && (true || shared[h.id])`,
			Test: Test{Package: pkg, Name: "TestUnitLandsWithItsBatches"}, Fails: `while batch \d+ is open`,
		},
		{
			Name: "counts of a void batch are taken back", Keeps: []string{"rule 2", "law 5"}, File: "internal/state/settle.go",
			Old:  `st.delta(h.feed).count(h.UnitCount, -1)`,
			New:  `st.delta(h.feed).count(h.UnitCount, 0)`,
			Test: Test{Package: pkg, Name: "TestVoidOfPublishedBatchReopensThoseWhoLostRecordsToIt"}, Fails: `total \{`,
		},
		{
			Name: "units behind a void batch are fetched again", Keeps: []string{"rule 4"}, File: "internal/state/settle.go",
			Old:  `	if err := st.reopen(units, row.state == batchPublished); err != nil {`,
			New:  `	if err := st.reopen(units[:0], row.state == batchPublished); err != nil {`,
			Test: Test{Package: pkg, Name: "TestUnitWaitsForBatchThatHoldsItsRecord"}, Fails: `want units 1 and 2`,
		},
		{
			Name: "a batch that may be lost is remembered until the lake has it", Keeps: []string{"rule 10"}, File: "internal/state/settle.go",
			Old:  `subject = ? AND stream = ? AND seq <= ?`,
			New:  `subject = ? AND stream = ? AND seq <= ? + 1`,
			Test: Test{Package: pkg, Name: "TestSettle"}, Fails: `published \[`,
		},
		{
			Name: "a take-over leaves batches alone that the lake had not read", Keeps: []string{"rule 10"}, File: "internal/state/asked.go",
			Old:  `h.batch <= row.answer.SettledBatch &&`,
			New:  `row.answer.SettledBatch >= 0 &&`,
			Test: Test{Package: pkg, Name: "TestClaimAskingTheLake"}, Fails: `got \[.*\], want \[`,
		},
		{
			Name: "a claim below the floor has to ask the lake", Keeps: []string{"rule 8"}, File: "internal/state/asked.go",
			Old:  `case int64(c.Second) < st.floor && c.Second != 0:`,
			New:  `case int64(c.Second) < 0:`,
			Test: Test{Package: pkg, Name: "TestIDFloor"}, Fails: `want kind "unavailable"`,
		},
		{
			Name: "ids that the lake may not have are not pruned", Keeps: []string{"rule 8"}, File: "internal/state/floors.go",
			Old:  `state IN (0, 2))`,
			New:  `state IN (0))`,
			Test: Test{Package: pkg, Name: "TestIDFloor"}, Fails: `ids are pruned`,
		},
		{
			Name: "keys begin with the event's second", Keeps: []string{"rule 8"}, File: "internal/state/claim.go",
			Old:  `binary.BigEndian.PutUint32(row.key[:4], claims[i].Second)`,
			New:  `binary.BigEndian.PutUint32(row.key[:4], 0*claims[i].Second)`,
			Test: Test{Package: pkg, Name: "TestIDFloor"}, Fails: `ids are pruned`,
		},
		{
			Name: "nothing is erased that the lake does not have yet", Keeps: []string{"rule 8"}, File: "internal/state/tenants.go",
			Old:  `if err == nil && busy {`,
			New:  `if err != nil && busy {`,
			Test: Test{Package: pkg, Name: "TestErasure"}, Fails: `want kind "unavailable"`,
		},
		{
			Name: "content that did not ask takes no id that the lake lost", Keeps: []string{"rule 10", "law 2"}, File: "internal/state/asked.go",
			Old:  `claims[row.pos].Lake == NotAsked && row.content != claim.Content {`,
			New:  `claims[row.pos].Lake == NotAsked && row.pos < 0 {`,
			Test: Test{Package: pkg, Name: "TestContentThatDidNotAskTakesNoID"}, Fails: `got \[.*\], want \[`,
		},
		{
			Name: "one id is under one second", Keeps: []string{"rule 8", "law 2"}, File: "internal/normalize/identity.go",
			Old:  `if !timed {`,
			New:  `if !timed && timed {`,
			Test: Test{Package: collect, Name: "TestOneIDAtTwoTimes"}, Fails: `is in the journal twice`,
		},
		{
			Name: "what was read to its end does not fail", Keeps: []string{"law 1"}, File: "internal/state/step.go",
			Old:  `if u.complete {`,
			New:  `if u.complete && u.feed < 0 {`,
			Test: Test{Package: collect, Name: "TestAFailureBehindTheLanding"}, Fails: `want one landed`,
		},
		{
			Name: "a fetch that did not ask does not land a healed unit", Keeps: []string{"rule 10"}, File: "internal/state/batch.go",
			Old:  `(units.ask_lake = 0 OR r.asked_lake = 1)`,
			New:  `(units.ask_lake >= 0 OR r.asked_lake = 1)`,
			Test: Test{Package: pkg, Name: "TestHeal"}, Fails: `unit 1 after a fetch that did not ask`,
		},
		{
			Name: "healed counts begin with what the lake has", Keeps: []string{"rule 15", "law 5"}, File: "internal/state/again.go",
			Old:  `want.add(UnitCount{Records: h.Records, Malformed: h.Malformed, IDSum: h.IDSum})`,
			New:  `want.add(UnitCount{IDSum: h.IDSum})`,
			Test: Test{Package: pkg, Name: "TestHeal"}, Fails: `unit 1: |total \{`,
		},
		{
			Name: "SQLite waits for the disk", Keeps: []string{"rule 13"}, File: "internal/state/sqlite.go",
			Old:  `"synchronous(FULL)"`,
			New:  `"synchronous(NORMAL)"`,
			Test: Test{Package: pkg, Name: "TestSQLiteFile"}, Fails: `synchronous = 1, want 2`,
		},
	}
}
