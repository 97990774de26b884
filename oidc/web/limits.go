package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"gatehouse/templates"
)

const (
	maxBody       = 64 << 10 // bytes of any request's body
	maxHeader     = 32 << 10 // bytes of request line and headers together
	maxQuery      = 24 << 10 // bytes of a query
	maxParameters = 100      // of a query, and of a body
	formType      = "application/x-www-form-urlencoded"
)

// limit refuses what is too large or not text before anything reads it. A form is
// read here, once and whole: what follows can rely on it.
func limit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0) {
			return badRequest("the address is not text")
		}
		if len(r.URL.RawQuery) > maxQuery {
			return &fault{status: http.StatusRequestURITooLong, kind: templates.ErrorTooLarge, err: errors.New("the query is too long")}
		}
		if err := checkForm(r.URL.RawQuery); err != nil {
			return badRequest("the query " + err.Error())
		}
		if r.ContentLength > maxBody {
			return tooLarge(fmt.Errorf("a body of %d bytes", r.ContentLength))
		}
		r.Body = http.MaxBytesReader(c.Response().Writer, r.Body, maxBody) // net/http's own writer: it hangs up on who sends more
		if r.Method == http.MethodPost && isForm(r) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				var large *http.MaxBytesError
				if errors.As(err, &large) {
					return tooLarge(err)
				}
				return &fault{status: http.StatusBadRequest, kind: templates.ErrorInvalidRequest, err: fmt.Errorf("read the body: %w", err)}
			}
			if err := checkForm(string(body)); err != nil {
				return badRequest("the form " + err.Error())
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return next(c)
	}
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == formType
}

// checkForm judges text of the form name=value&name=value with percent-encoding.
// The errors say nothing of what the text holds.
func checkForm(raw string) error {
	if raw == "" {
		return nil
	}
	if strings.Count(raw, "&") >= maxParameters {
		return errors.New("has too many parameters")
	}
	if strings.Contains(raw, ";") { // url.ParseQuery would drop the parameter in silence
		return errors.New("has a semicolon that is not percent-encoded")
	}
	text, ok := unescape(raw)
	switch {
	case !ok:
		return errors.New("has a percent sign without two hexadecimal digits")
	case bytes.IndexByte(text, 0) >= 0:
		return errors.New("has a NUL character")
	case !utf8.Valid(text):
		return errors.New("is not UTF-8 text")
	}
	return nil
}

// unescape undoes percent-encoding. The separators stay, being ASCII they cannot
// hide or complete a UTF-8 sequence.
func unescape(raw string) ([]byte, bool) {
	text := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '%' {
			text = append(text, raw[i])
			continue
		}
		if i+2 >= len(raw) {
			return nil, false
		}
		high, low := unhex(raw[i+1]), unhex(raw[i+2])
		if high > 15 || low > 15 {
			return nil, false
		}
		text = append(text, high<<4|low)
		i += 2
	}
	return text, true
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// postedForm is a form of one of our own pages: each field at most once.
type postedForm map[string]string

// readForm reads a form that must come from a page of ours. Whatever Origin and
// Sec-Fetch-Site say of another site ends here; the sealed request field, which
// only this browser can have, is the first line of defence.
func (s *Server) readForm(c echo.Context) (postedForm, error) {
	r := c.Request()
	if !isForm(r) {
		return nil, &fault{status: http.StatusUnsupportedMediaType, kind: templates.ErrorInvalidRequest, err: errors.New("a form is expected")}
	}
	if err := s.crossOrigin.Check(r); err != nil {
		return nil, &fault{status: http.StatusForbidden, kind: templates.ErrorSessionLost, err: err}
	}
	if err := r.ParseForm(); err != nil {
		return nil, badRequest("the form cannot be read")
	}
	form := make(postedForm, len(r.PostForm))
	for name, values := range r.PostForm {
		if len(values) != 1 {
			return nil, badRequest("a field is given more than once")
		}
		form[name] = values[0]
	}
	return form, nil
}

// badRequest is a fault of the sender; detail may be shown and is ours.
func badRequest(detail string) error {
	return &fault{status: http.StatusBadRequest, kind: templates.ErrorInvalidRequest, detail: detail, err: errors.New(detail)}
}

func tooLarge(err error) error {
	return &fault{status: http.StatusRequestEntityTooLarge, kind: templates.ErrorTooLarge, err: err}
}
