// Command soak proves the accounting of Sluice at random: it draws a scenario from a seed, runs the real program against
// the simulated Microsoft in it, hurts both, and then demands that the lake holds exactly what a perfect collector would hold
// and that the status says the truth about the rest.
//
//	go run ./test/soak -seeds 1-200 -parallel 2     what make soak does
//	go run ./test/soak -for 2h                      new seeds for two hours
//	go run ./test/soak -plan FILE                   one plan again, as a failure prints it
//	go run ./test/soak -postgres URL                the state in PostgreSQL, which goes away now and then
//
//	seed ─► Plan ─► simulator (in this process) ◄─ HTTPS ─ sluice up (go build -tags sluicetest)
//	                      │  one virtual time for both         │ kill -9, SIGTERM, fail points, days of absence, full disks
//	                      ▼                                    ▼
//	                    truth ───────────► judge ◄──── lake, quarantine, status
//
// # A run
//
// Traffic, weaknesses of the service and injected faults run for a few seconds, which are an hour or more of virtual time (package
// clock). Then traffic and faults end, the program settles, and the judge compares. These are the laws:
//
//	lost         a record of a blob that can be read is not in the lake
//	twice        a record is in the lake twice
//	unexplained  the lake has what the service never had, or other bytes of it
//	counts       listed is not landed + pending + lost, or the counts are not what was served
//	silent       content is missing, and the status does not say that it is lost
//	stuck        something is still pending or failing long after the last fault
//	process      the program ended by itself, did not stop when asked, or panicked
//
// A blob that expired while the program was away, or that the service once said is gone, may be missing; then the status has to say
// so. What the simulator cannot make false is not tested: a service that serves other records under an id, for instance.
//
// # A failure
//
// A plan that fails is made smaller for as long as it goes on failing: fewer events, faults, tenants, weaknesses. The
// smallest one is printed with the command that runs it again. Plans say everything but the scheduling of the machine, so a failure
// that hangs on a race may need several runs.
//
// # Time
//
// What does not run on the virtual clock is written down in cmd/sluice/clock_sluicetest.go. Limits of the harness itself are
// of wall time and meant for a busy machine.
package main
