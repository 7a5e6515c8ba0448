package mutation

// proofs are the rules by which a verification may call anything complete.
func proofs() []Mutation {
	return []Mutation{
		{
			Name: "a verification asks what the service lists", Keeps: []string{"rule 15", "law 4"}, File: "internal/collect/verify.go",
			Old:  `v.listed[u.ID(v.f.r.cfg.Connector.ID)] = u`,
			New:  `_ = u.ID(v.f.r.cfg.Connector.ID)`,
			Test: Test{Package: collect, Name: "TestVerifyFindsUnitsThatTheLedgerForgot"}, Fails: `Missing:0`,
		},
		{
			Name: "a verification waits until the lake has what was published", Keeps: []string{"rule 15"}, File: "internal/collect/verify.go",
			Old:  `if err := p.cfg.Lake.Committed(ctx, p.Confirmed()); err != nil {`,
			New:  `if err := ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestVerifyCountsWhatIsOnItsWay"}, Fails: `not whole`,
		},
		{
			Name: "what cannot be listed keeps nothing else from its verdict", Keeps: []string{"law 4"}, File: "internal/collect/verify.go",
			Old: `		v.report.Err = fault.Wrap("", "ask the service what there is", err)
		return nil
`,
			New: `		return err
`,
			Test: Test{Package: collect, Name: "TestVerifyWithoutAPermission"}, Fails: `lacks the permission`,
		},
		{
			Name: "what cannot be had again is looked for in other content types", Keeps: []string{"rule 15", "law 1"}, File: "internal/collect/verify.go",
			Old:  `v.orphaned = true`,
			New:  `v.orphaned = false`,
			Test: Test{Package: collect, Name: "TestRepairReadsOtherContentTypesThatHadTheRecord"}, Fails: `what had the record, too`,
		},
		{
			Name: "the sum of the ids is compared", Keeps: []string{"rule 15"}, File: "internal/collect/judge.go",
			Old:  `(h.IDSum == u.IDSum || !known)`,
			New:  `(h.IDSum == u.IDSum || !known || known)`,
			Test: Test{Package: collect, Name: "TestVerifyComparesRecords/another record in its place"}, Fails: `want missing`,
		},
		{
			Name: "records that are there twice are found", Keeps: []string{"rule 15", "law 2"}, File: "internal/collect/judge.go",
			Old:  `case h.Distinct < h.Rows:`,
			New:  `case h.Distinct > h.Rows:`,
			Test: Test{Package: collect, Name: "TestVerifyComparesRecords/one twice and one missing"}, Fails: `want surplus`,
		},
		{
			Name: "a repair begins with what the lake has", Keeps: []string{"rule 15"}, File: "internal/collect/repair.go",
			Old:  `Records: h.Rows - h.Quarantined,`,
			New:  `Records: h.Rows - h.Rows,`,
			Test: Test{Package: collect, Name: "TestVerifyFindsAndRepairsRecordsThatTheLakeLost"}, Fails: `not whole|the ledger counts`,
		},
		{
			Name: "what was counted is settled before it is healed", Keeps: []string{"rule 15", "rule 10"}, File: "internal/collect/repair.go",
			Old:  `if err := s.Settle(v.position); err != nil { // what was counted is in the lake for good`,
			New:  `if err := ctx.Err(); err != nil {`,
			Test: Test{Package: collect, Name: "TestVerifyFindsAndRepairsRecordsThatTheLakeLost"}, Fails: `not whole|the ledger counts`,
		},
		{
			Name: "counting works on one moment", Keeps: []string{"rule 15"}, File: "internal/lake/census/census.go",
			Old:  `m.position.Seq = min(m.position.Seq, t.Position.Seq)`,
			New:  `m.position.Seq = t.Position.Seq`,
			Test: Test{Package: "./internal/lake/census", Name: "TestOneMoment"}, Fails: `units: |rows, want 30`,
		},
		{
			Name: "what retention dropped is accounted for", Keeps: []string{"rule 15", "law 4"}, File: "internal/collect/judge.go",
			Old:  `h.Rows += u.DroppedRecords`,
			New:  `h.Rows += u.DroppedRecords * 0`,
			Test: Test{Package: collect, Name: "TestWhatRetentionDropsIsNotMissing"}, Fails: `want \{Listed`,
		},
		{
			Name: "the ids of what retention dropped are part of the sum", Keeps: []string{"rule 15", "law 4"}, File: "internal/collect/judge.go",
			Old:  `h.IDSum ^= u.DroppedSum`,
			New:  `h.IDSum |= 0`,
			Test: Test{Package: collect, Name: "TestWhatRetentionDropsIsNotMissing"}, Fails: `want \{Listed`,
		},
		{
			Name: "what retention dropped of folded units is accounted for", Keeps: []string{"rule 15", "law 4"}, File: "internal/collect/judge.go",
			Old:  `found.idSum^hour.DroppedSum != hour.IDSum`,
			New:  `found.idSum != hour.IDSum`,
			Test: Test{Package: collect, Name: "TestRetentionOfFoldedUnits"}, Fails: `want \{Listed`,
		},
		{
			Name: "a unit that is read again forgets what was dropped of it", Keeps: []string{"rule 15"}, File: "internal/state/again.go",
			Old:  `dropped = 0, dropped_sum = 0 FROM`,
			New:  `dropped = units.dropped FROM`,
			Test: Test{Package: collect, Name: "TestRealLossBesideRetention"}, Fails: `want \{Listed`,
		},
		{
			Name: "what came after the count is not dropped", Keeps: []string{"rule 15", "law 1"}, File: "internal/lake/maintain.go",
			Old:  `f.Day.Before(res.Before) && f.MaxSeq < beyond`,
			New:  `f.Day.Before(res.Before) && f.MinSeq < beyond+1<<62`,
			Test: Test{Package: "./internal/lake", Name: "TestDropBeforeKeepsWhatCameLater"}, Fails: `Rows:18`,
		},
	}
}
