package token

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// SignSecret signs a token with HS256, for a key of that method whose secret it
// is given. It is recorded nowhere.
func SignSecret(secret []byte, g Grant, now time.Time) (string, error) {
	claims := jwt.MapClaims{
		"aud":   g.Audience,
		"scope": g.Scope,
		"iat":   now.Unix(),
		"exp":   now.Add(g.For).Unix(),
		"jti":   rand.Text(),
	}
	if g.Name != "" {
		claims["name"] = g.Name
	}
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return raw, nil
}
