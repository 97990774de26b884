// Package static owns the files that the pages need: style sheet, mark and
// drawing, and how a browser may keep them.
//
// It leaves the pages themselves to templates and the routes to the caller.
// Always true: every file is in memory, also compressed; a name with a hash
// always means the same bytes to whoever keeps it, so it is kept for ever.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.css *.svg
var embedded embed.FS

// Prefix is where the files are served.
const Prefix = "/static/"

const (
	styles = "gatehouse.css" // the one style sheet
	custom = "custom.css"    // of an override: added to the end of styles

	hashLength  = 16      // hex digits in a name: 64 bits
	largestFile = 4 << 20 // bytes of one file of an override
)

// contentTypes are the kinds of files that are served. It is a list of ours,
// not the system's, so that every machine answers alike.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".jpg":  "image/jpeg",
	".jpeg": "image/jpeg",
	".gif":  "image/gif",
	".webp": "image/webp",
	".ico":  "image/x-icon",
}

// asset is one file, ready to be sent.
type asset struct {
	hash        string
	contentType string
	plain       []byte
	gzipped     []byte // nil where it would not be smaller
}

// Assets is every static file. It doesn't change after Load and may be used by
// many at once.
type Assets struct {
	files map[string]*asset // by name without hash
}

// Load reads the files that come with the program and lays those of the folder
// overrideDir over them, if it is not "". A file custom.css there is added to
// the end of the style sheet instead. Files of other kinds, folders and names
// that begin with a dot are left alone.
func Load(overrideDir string) (*Assets, error) {
	raw := map[string][]byte{}
	if err := read(raw, embedded); err != nil {
		return nil, fmt.Errorf("static: %w", err)
	}
	if overrideDir != "" {
		if _, err := os.ReadDir(overrideDir); err != nil {
			return nil, fmt.Errorf("reading the folder of static files: %w", err)
		}
		if err := read(raw, os.DirFS(overrideDir)); err != nil {
			return nil, fmt.Errorf("static files in %s: %w", overrideDir, err)
		}
	}
	if more, ok := raw[custom]; ok {
		raw[styles] = slices.Concat(raw[styles], []byte("\n"), more)
		delete(raw, custom)
	}
	a := &Assets{files: make(map[string]*asset, len(raw))}
	for name, data := range raw {
		if path.Ext(name) != ".css" {
			if err := a.add(name, data); err != nil {
				return nil, err
			}
		}
	}
	for name, data := range raw {
		if path.Ext(name) == ".css" { // last, for it names the others
			if err := a.add(name, a.link(data)); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func read(into map[string][]byte, fsys fs.FS) error {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || strings.HasPrefix(name, ".") || contentTypes[path.Ext(name)] == "" {
			continue
		}
		info, err := fs.Stat(fsys, name)
		switch {
		case err != nil:
			problems = append(problems, err)
			continue
		case !info.Mode().IsRegular():
			problems = append(problems, fmt.Errorf("%s: not a regular file", name))
			continue
		case info.Size() > largestFile:
			problems = append(problems, fmt.Errorf("%s: larger than %d bytes", name, largestFile))
			continue
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		into[name] = data
	}
	return errors.Join(problems...)
}

// reference is a file that a style sheet names in the plainest way.
var reference = regexp.MustCompile(`url\(["']?([A-Za-z0-9._-]+)["']?\)`)

// link puts the hashed names of our files into a style sheet.
func (a *Assets) link(css []byte) []byte {
	return reference.ReplaceAllFunc(css, func(match []byte) []byte {
		name := string(reference.FindSubmatch(match)[1])
		if f := a.files[name]; f != nil {
			return []byte("url(" + f.name(name) + ")")
		}
		return match
	})
}

func (a *Assets) add(name string, data []byte) error {
	sum := sha256.Sum256(data)
	f := &asset{
		hash: hex.EncodeToString(sum[:])[:hashLength], contentType: contentTypes[filepath.Ext(name)], plain: data,
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(data)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return fmt.Errorf("compressing %s: %w", name, err)
	}
	if small.Len() < len(data)*9/10 {
		f.gzipped = small.Bytes()
	}
	a.files[name] = f
	return nil
}

// name returns name with the hash in it.
func (f *asset) name(name string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + f.hash + ext
}

// URL returns the address of a file for a page: with the hash of its content,
// so that it may be kept for ever. For a file that isn't there it is the
// address where it would be.
func (a *Assets) URL(name string) string {
	if f := a.files[name]; f != nil {
		return Prefix + f.name(name)
	}
	return Prefix + name
}

// find returns the file of a name with or without hash, and whether the name
// holds the right one.
func (a *Assets) find(name string) (f *asset, exact bool) {
	if f := a.files[name]; f != nil {
		return f, false
	}
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	hash := path.Ext(stem)
	if len(hash) != 1+hashLength {
		return nil, false
	}
	f = a.files[strings.TrimSuffix(stem, hash)+ext]
	return f, f != nil && hash[1:] == f.hash
}

// ServeHTTP sends a file. The path may still have Prefix or not. A name with
// another hash, from a page that another version wrote while a node is being
// replaced, gets today's file, which is then not kept: better than no style.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok {
		name = strings.TrimPrefix(name, "/")
	}
	f, exact := a.find(name)
	if f == nil {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	body, tag := f.plain, `"`+f.hash+`"`
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Values("Accept-Encoding")) {
			body, tag = f.gzipped, `"`+f.hash+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if exact {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	// A picture that is opened by itself must not become a page of ours.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	if matches(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a browser that went away needs no answer
	}
}

// takesGzip reads Accept-Encoding (RFC 9110, section 12.5.3).
func takesGzip(headers []string) bool {
	star := false
	for _, item := range strings.Split(strings.Join(headers, ","), ",") {
		coding, weight, _ := strings.Cut(item, ";")
		q := 1.0
		if key, value, ok := strings.Cut(strings.TrimSpace(weight), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			q, _ = strconv.ParseFloat(strings.TrimSpace(value), 64) // what can't be read counts as "no"
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return q > 0
		case "*":
			star = q > 0
		}
	}
	return star
}

// matches reads If-None-Match (RFC 9110, section 13.1.2), comparing weakly.
func matches(headers []string, tag string) bool {
	for _, item := range strings.Split(strings.Join(headers, ","), ",") {
		item = strings.TrimSpace(item)
		if item == "*" || strings.TrimPrefix(item, "W/") == tag {
			return true
		}
	}
	return false
}
