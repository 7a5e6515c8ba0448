package house

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	inlineLink = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	namedLink  = regexp.MustCompile(`^\[[^\]]+\]:\s+(\S+)`)
	inlineCode = regexp.MustCompile("`[^`]*`")
)

// BrokenLinks lists the links between Markdown files below root that name a file which is not there. Links to other
// sites and parts of pages are not followed.
func BrokenLinks(root string) ([]string, error) {
	var broken []string
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "data"}, d.Name())):
			return filepath.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		for line, target := range links(string(text)) {
			for _, t := range target {
				if !exists(root, filepath.Join(root, filepath.Dir(filepath.FromSlash(name))), t) {
					broken = append(broken, fmt.Sprintf("%s:%d: %s leads nowhere", name, line+1, t))
				}
			}
		}
		return nil
	})
	return broken, err
}

// links returns the targets on each line, outside of code.
func links(text string) [][]string {
	lines := strings.Split(text, "\n")
	targets := make([][]string, len(lines))
	fenced := false
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced {
			continue
		}
		line = inlineCode.ReplaceAllString(line, "")
		for _, m := range append(inlineLink.FindAllStringSubmatch(line, -1), namedLink.FindAllStringSubmatch(line, -1)...) {
			targets[i] = append(targets[i], m[1])
		}
	}
	return targets
}

func exists(root, dir, target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	if u.Scheme != "" || u.Host != "" || u.Path == "" {
		return true
	}
	if strings.HasPrefix(u.Path, "/") {
		dir = root
	}
	_, err = os.Stat(filepath.Join(dir, filepath.FromSlash(u.Path)))
	return err == nil
}
