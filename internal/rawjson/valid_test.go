package rawjson

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"
)

func TestValidAgreesWithTheStandardLibrary(t *testing.T) {
	docs := []string{
		`{"a":[1,-0.5e+10,true,false,null,"x\u00e9\n\"\\"],"b":{"c":{}},"d":"é"}`,
		`[0,10,-1,1E5,"",[],[[]],{"":""}]`,
		"{ \"a\" :\t1 ,\r\n \"b\": \"\\/\" }",
		`{"Data":"{\"tid\":\"1\",\"x\":\"C:\\\\Users\"}","n":12345678901234567890}`,
	}
	alphabet := []byte("\x00\x01\n\t \"\\{}[],:0123456789.-+eEutrfnalsx/\x7f\xc3")
	rng := rand.New(rand.NewPCG(7, 7))
	for range 300_000 {
		doc := []byte(docs[rng.IntN(len(docs))])
		for range 1 + rng.IntN(3) {
			at, c := rng.IntN(len(doc)), alphabet[rng.IntN(len(alphabet))]
			switch rng.IntN(3) {
			case 0:
				doc[at] = c
			case 1:
				doc = slices.Insert(doc, at, c)
			case 2:
				doc = slices.Delete(doc, at, at+1)
			}
		}
		if got, want := Valid(doc), json.Valid(doc) && utf8.Valid(doc); got != want {
			t.Fatalf("Valid(%q) = %v, the standard library says %v", doc, got, want)
		}
	}
}
