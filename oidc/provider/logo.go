package provider

import (
	"encoding/base64"
	"net/http"
	"slices"
)

// maxLogo is the most bytes of a registered client's logo: as a data URI it is in
// every page of a sign-in.
const maxLogo = 24 << 10

// pictureURI returns a picture as a data URI, or "" if it is none. What it is, its
// bytes decide and not what the stranger's server calls it; SVG is none, since it can
// hold more than a picture.
func pictureURI(data []byte) string {
	kind := http.DetectContentType(data)
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/gif", "image/webp"}, kind) {
		return ""
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data)
}
