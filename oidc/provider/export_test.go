package provider

// OpensPicture reports whether a token of a picture's address can be opened.
func OpensPicture(derive func(string, int) []byte, token string) bool {
	p, err := newPictures(derive)
	if err != nil {
		panic(err)
	}
	_, _, ok := p.open(token)
	return ok
}
