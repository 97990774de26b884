package web

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// grid reads the dark modules of a picture, without its quiet zone.
func grid(t *testing.T, svg string) [][]bool {
	t.Helper()
	m := regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(svg)
	if m == nil || m[1] != m[2] {
		t.Fatalf("no square: %.200s", svg)
	}
	whole, _ := strconv.Atoi(m[1])
	out := make([][]bool, whole-8)
	for y := range out {
		out[y] = make([]bool, whole-8)
	}
	for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg, -1) {
		x, _ := strconv.Atoi(run[1])
		y, _ := strconv.Atoi(run[2])
		n, _ := strconv.Atoi(run[3])
		if run[3] != run[4] {
			t.Fatalf("a run that is no rectangle: %s", run[0])
		}
		for i := range n {
			out[y-4][x-4+i] = true
		}
	}
	return out
}

// readQR reads a QR code of versions 3 to 6, level M and byte mode, as ISO/IEC 18004
// has it; it corrects no errors, as a picture that was just drawn has none.
func readQR(t *testing.T, g [][]bool) string {
	t.Helper()
	n := len(g)
	version := (n - 17) / 4
	blocks := map[int]int{3: 1, 4: 2, 5: 2, 6: 4}[version]
	data := map[int]int{3: 44, 4: 64, 5: 86, 6: 108}[version]
	if blocks == 0 {
		t.Fatalf("version %d", version)
	}
	format := 0
	for _, x := range []int{0, 1, 2, 3, 4} { // the five bits of data beside the top left finder
		format <<= 1
		if g[8][x] {
			format |= 1
		}
	}
	format ^= 0b10101
	if format>>3 != 0b00 {
		t.Fatalf("not of level M: %05b", format)
	}
	masks := []func(y, x int) bool{
		func(y, x int) bool { return (y+x)%2 == 0 },
		func(y, _ int) bool { return y%2 == 0 },
		func(_, x int) bool { return x%3 == 0 },
		func(y, x int) bool { return (y+x)%3 == 0 },
		func(y, x int) bool { return (y/2+x/3)%2 == 0 },
		func(y, x int) bool { return y*x%2+y*x%3 == 0 },
		func(y, x int) bool { return (y*x%2+y*x%3)%2 == 0 },
		func(y, x int) bool { return ((y+x)%2+y*x%3)%2 == 0 },
	}
	mask := masks[format&7]
	reserved := func(y, x int) bool {
		centre := n - 7
		return y == 6 || x == 6 || y < 9 && (x < 9 || x >= n-8) || y >= n-8 && x < 9 ||
			y >= centre-2 && y <= centre+2 && x >= centre-2 && x <= centre+2
	}
	var words []byte
	current, bits := byte(0), 0
	up := true
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for i := range n {
			y := i
			if up {
				y = n - 1 - i
			}
			for x := right; x > right-2; x-- {
				if reserved(y, x) {
					continue
				}
				current <<= 1
				if g[y][x] != mask(y, x) {
					current |= 1
				}
				if bits++; bits%8 == 0 {
					words = append(words, current)
					current = 0
				}
			}
		}
		up = !up
	}
	var message []byte
	for block := range blocks {
		for i := block; i < data; i += blocks {
			message = append(message, words[i])
		}
	}
	if message[0]>>4 != 4 {
		t.Fatalf("mode %d, not bytes", message[0]>>4)
	}
	length := int(message[0]&15)<<4 | int(message[1]>>4)
	var text strings.Builder
	for i := range length {
		text.WriteByte(message[1+i]<<4 | message[2+i]>>4)
	}
	return text.String()
}

func TestTheQRCodeOfADeviceLeadsToItsPage(t *testing.T) { // RFC 8628, section 3.3.1
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	v := b.get("/device/qr.svg?user_code=wdjbmjht")
	wantStatus(t, v, http.StatusOK)
	if v.header.Get("Content-Type") != "image/svg+xml" || v.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" ||
		v.header.Get("Content-Security-Policy") != "default-src 'none'" {
		t.Errorf("%v", v.header)
	}
	if text := readQR(t, grid(t, v.body)); text != testIssuer+"/device?user_code=WDJB-MJHT" {
		t.Errorf("it says %q", text)
	}
	for _, code := range []string{"", "WDJB-MJH", "<script>", "https://evil.example.com/"} {
		wantStatus(t, b.get("/device/qr.svg?user_code="+code), http.StatusBadRequest)
	}
}
