// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	_ "embed" // the description
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

// openAPISource describes the API, as people write it.
//
//go:embed openapi.yaml
var openAPISource []byte

// openAPI is the description as JSON.
var openAPI = sync.OnceValues(func() ([]byte, error) {
	var description any
	if err := yaml.Unmarshal(openAPISource, &description); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return json.Marshal(description)
})

func (*server) describe(context.Context, *parameters) (*answer, error) {
	body, err := openAPI()
	if err != nil {
		return nil, err
	}
	return &answer{contentType: "application/json", body: body}, nil
}
