package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatehouse/oidc"
)

// maxSector is the most bytes of a sector identifier document.
const maxSector = 64 << 10

// ErrSector means that a sector identifier does not name all redirect URIs.
var ErrSector = errors.New("it does not list all redirect_uris")

// CheckSector fetches the sector identifier of a client and looks for its redirect
// URIs in it (OpenID Connect Core 1.0, section 8.1; OpenID Connect Registration 1.0,
// section 5). A client without one is in order. Where a URI is missing the error wraps
// ErrSector.
func CheckSector(ctx context.Context, get func(ctx context.Context, url string, limit int64) ([]byte, error), c *oidc.Client) error {
	if c.SectorIdentifierURI == "" {
		return nil
	}
	data, err := get(ctx, c.SectorIdentifierURI, maxSector)
	if err != nil {
		return fmt.Errorf("fetch the sector identifier: %w", err)
	}
	var listed []string
	if err := json.Unmarshal(data, &listed); err != nil {
		return fmt.Errorf("read the sector identifier: it is not a JSON list of texts")
	}
	for _, uri := range c.RedirectURIs {
		if !slices.Contains(listed, uri) {
			return ErrSector
		}
	}
	return nil
}
