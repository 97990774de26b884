package web

import (
	"bytes"
	"fmt"
	"image"
	"net/http"
	"net/url"

	"github.com/boombuler/barcode/qr"
	"github.com/labstack/echo/v4"

	"gatehouse/oidc/provider"
)

// deviceQR answers GET /device/qr.svg with a picture of the address that a device
// would have people open, its code filled in (RFC 8628, section 3.3.1): for devices
// that can show a picture but not draw one. Whether a device waits with this code is
// not looked up, so nothing can be guessed at here.
func (s *Server) deviceQR(c echo.Context) error {
	code := provider.NormalUserCode(c.Request().URL.Query().Get("user_code"))
	if code == "" {
		return badRequest("user_code is no user code")
	}
	picture, err := qrSVG(s.issuer.Scheme + "://" + s.issuer.Host + provider.PathDevice + "?" + url.Values{"user_code": {code}}.Encode())
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // it is for the pages of devices
	return c.Blob(http.StatusOK, "image/svg+xml", picture)
}

// qrSVG draws a QR code (ISO/IEC 18004) with its quiet zone of four modules. Level M
// bears that 15 % cannot be read.
func qrSVG(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	const quiet = 4
	size := code.Bounds().Dx()
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path d="`, size+2*quiet)
	for y := range size {
		for x := 0; x < size; x++ {
			run := 0
			for x+run < size && dark(code, x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.Bytes(), nil
}

func dark(code image.Image, x, y int) bool {
	r, _, _, _ := code.At(x, y).RGBA()
	return r == 0
}
