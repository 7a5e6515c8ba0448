// Package worker runs queries on the lake in child processes and never imports the query engine itself.
//
// A child is the same binary again, started with a hidden command; package lake/engine is what runs in it, and package
// wire what the two say to each other. One Session owns one child and ends with it:
//
//	pool := worker.New(worker.Config{})
//	session, err := pool.Open(ctx, wire.OpenBody{Tables: tables}) // waits for one of Config.Max places
//	defer session.Close()
//	rows, err := session.Query(ctx, worker.Query{SQL: "SELECT ..."})
//	for rows.Next() { use(rows.Values()) }
//	err = rows.Err()
//
// The pool keeps children in reserve, as many as may work at a time, that have opened the engine and wait for a session,
// so that a query does not pay for the start; they are replaced when a session ends. A child is killed, with its process
// group, one second after its query should have ended, when the caller gives up and when the session is closed. It gets an empty environment: what this process knows is not for it.
package worker
