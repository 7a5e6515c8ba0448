package api

import (
	"net/http"
	"net/http/pprof"
)

// profilePrefix is the path of Go's profiles. They need the token like the API: they tell much about a process.
const profilePrefix = "/debug/pprof/"

func profileRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+profilePrefix, pprof.Index)
	mux.HandleFunc("GET "+profilePrefix+"profile", pprof.Profile)
	mux.HandleFunc("GET "+profilePrefix+"trace", pprof.Trace)
	mux.HandleFunc("GET "+profilePrefix+"symbol", pprof.Symbol)
}
