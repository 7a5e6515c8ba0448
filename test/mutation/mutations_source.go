package mutation

// sourceRules are kept by the driver of the activity feed and the client below it.
func sourceRules() []Mutation {
	const pkg, m365 = "./internal/source/activity", "./internal/m365"
	return []Mutation{
		{
			Name: "page following", Keeps: []string{"law 1"}, Quick: true, File: "internal/source/activity/list.go",
			Old:  `case l.stopped, next == "":`,
			New:  `case l.stopped, next == next:`,
			Test: Test{Package: pkg, Name: "TestConformance/everything arrives"}, Fails: `got \d+ records, want \d+`,
		},
		{
			Name: "an empty page can have a next one", Keeps: []string{"law 1"}, File: "internal/source/activity/list.go",
			Old: `		err = resp.Fault(l.page(resp.Body, yield))
`,
			New: `		empty := true
		err = resp.Fault(l.page(resp.Body, func(u record.Unit, err error) bool {
			empty = false
			return yield(u, err)
		}))
		if empty {
			next = ""
		}
`,
			Test: Test{Package: pkg, Name: "TestConformance/listing, empty page before the others, once"}, Fails: `got 0 records, want \d+`,
		},
		{
			Name: "a body that ends early is not complete", Keeps: []string{"rule 4"}, File: "internal/source/activity/fetch.go",
			Old: `		if err != nil {
			return "", 0, false, resp.Fault(err)
		}`,
			New: `		if err != nil {
			break
		}`,
			Test: Test{Package: pkg, Name: "TestConformance/content, text cut in a complete body"}, Fails: `error <nil> \(\), want unavailable`,
		},
		{
			Name: "a web page does not say that content is gone", Keeps: []string{"rule 15", "law 1"}, File: "internal/source/activity/fetch.go",
			Old:  `		c.Kind = fault.Unavailable`,
			New:  `		c.Kind = fault.Gone`,
			Test: Test{Package: pkg, Name: "TestFetchGone"}, Fails: `want unavailable`,
		},
		{
			Name: "a compressed body is whole only with its checksum", Keeps: []string{"rule 4"}, File: "internal/m365/body.go",
			Old: `	if err != nil {
		b.err = err
`,
			New: `	if err != nil {
		if errors.Is(err, gzip.ErrChecksum) {
			err = io.EOF
		}
		b.err = err
`,
			Test: Test{Package: m365, Name: "TestBodies/gzip checksum"}, Fails: `100000 bytes`,
		},
		{
			Name: "a compressed body that was cut is not whole", Keeps: []string{"rule 4"}, File: "internal/m365/body.go",
			Old: `	if err != nil {
		b.err = err
`,
			New: `	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		b.err = err
`,
			Test: Test{Package: m365, Name: "TestBodies/gzip cut by the server"}, Fails: `\d+ bytes, <nil>`,
		},
		{
			Name: "a refused token is renewed", Keeps: []string{"law 1"}, File: "internal/m365/client.go",
			Old:  `if failed.Status != http.StatusUnauthorized && !rule.Renew {`,
			New:  `if failed.Status != 0 || !rule.Renew {`,
			Test: Test{Package: pkg, Name: "TestTokenIsRenewedOnceForAll"}, Fails: `1 tokens for 20 parallel fetches`,
		},
		{
			Name: "Retry-After is read", Keeps: []string{"law 1"}, File: "internal/m365/client.go",
			Old:  `failed.RetryAfter = RetryAfter(resp.Header, c.clock.Now())`,
			New:  `failed.RetryAfter = RetryAfter(http.Header{}, c.clock.Now())`,
			Test: Test{Package: m365, Name: "TestThrottlingPausesTheTenant"}, Fails: `wait 0s`,
		},
		{
			Name: "no token for a foreign host in a link", Keeps: []string{"law 6"}, File: "internal/m365/client.go",
			Old:  `if !sameOrigin(u, c.base) || u.User != nil {`,
			New:  `if u.User != nil {`,
			Test: Test{Package: pkg, Name: "TestConformance/next page, link to a foreign host"}, Fails: `error <nil> \(\), want config`,
		},
		{
			Name: "no token for a foreign host behind a redirect", Keeps: []string{"law 6"}, File: "internal/m365/client.go",
			Old:  `case !sameOrigin(req.URL, first.URL):`,
			New:  `case req.URL == nil:`,
			Test: Test{Package: pkg, Name: "TestConformance/content, redirect to a foreign host"}, Fails: `error <nil> \(\), want config`,
		},
	}
}
