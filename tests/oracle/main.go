// The oracle of tests/real/test_matchers_real.py: what Alertmanager's own code makes of matchers.
//
// It reads JSON lines, `{"text": ..., "labels": [{...}, ...]}`, and answers each with one line: whether
// Alertmanager takes the text in its default mode (both parsers, the classic one where they differ), the
// matchers that it reads, and for each label set whether all match.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
)

type question struct {
	Text   string           `json:"text"`
	Labels []model.LabelSet `json:"labels"`
}

type answer struct {
	Error    string      `json:"error"`
	Matchers [][3]string `json:"matchers"`
	Match    []bool      `json:"match"`
}

func main() {
	compat.InitFromFlags(promslog.NewNopLogger(), featurecontrol.NoopFlags{})
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	answers := json.NewEncoder(out)
	for questions.More() {
		var asked question
		if err := questions.Decode(&asked); err != nil {
			log.Fatalf("the question is not readable: %v", err)
		}
		if err := answers.Encode(answerTo(asked)); err != nil {
			log.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func answerTo(asked question) answer {
	read, err := compat.Matchers(asked.Text, "oracle")
	if err != nil {
		return answer{Error: err.Error()}
	}
	if name, ok := invalidName(read); ok {
		return answer{Error: "invalid label name: " + name}
	}
	var told answer
	for _, matcher := range read {
		told.Matchers = append(told.Matchers, [3]string{matcher.Name, matcher.Type.String(), matcher.Value})
	}
	for _, set := range asked.Labels {
		told.Match = append(told.Match, read.Matches(set))
	}
	return told
}

// invalidName finds a name that no label can have. The parser lets the empty one pass; whatever takes
// matchers from a person (silences, the amtool client) asks this of them before it uses them.
func invalidName(read labels.Matchers) (string, bool) {
	for _, matcher := range read {
		if !compat.IsValidLabelName(model.LabelName(matcher.Name)) {
			return matcher.Name, true
		}
	}
	return "", false
}
