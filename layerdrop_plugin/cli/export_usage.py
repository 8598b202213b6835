"""Lines of Python that load an exported folder, for the end of `layerdrop-export`."""

from __future__ import annotations

CLASSES = {
    "RobertaForMaskedLM": "AutoModelForMaskedLM",
    "RobertaForSequenceClassification": "AutoModelForSequenceClassification",
    "BartForConditionalGeneration": "AutoModelForSeq2SeqLM",
}
"""The class to load one of transformers with; `AutoModel` loads the others, which give hidden states of sound."""
WORDS = "torch.tensor([[0, 4, 5, 2]])"  # <s>, two words, </s>
RESULTS = {
    "AutoModelForMaskedLM": f"print(model({WORDS}).logits.argmax(-1))",
    "AutoModelForSequenceClassification": f"print(model.config.id2label[int(model({WORDS}).logits.argmax())])",
    "AutoModelForSeq2SeqLM": f"print(model.generate({WORDS}))",
    "AutoModel": "print(model(torch.zeros(1, 16000)).last_hidden_state.shape)",
}
"""What a model makes of words, which are numbers here, or of a second of sound."""


def huggingface(kind: str, out: str) -> str:
    """Return three lines for a class of transformers.

    >>> print(huggingface("RobertaForMaskedLM", "out"))
      import torch, transformers
      model = transformers.AutoModelForMaskedLM.from_pretrained('out')
      print(model(torch.tensor([[0, 4, 5, 2]])).logits.argmax(-1))
    """
    name = CLASSES.get(kind, "AutoModel")
    return _lines("import torch, transformers", f"model = transformers.{name}.from_pretrained({out!r})", RESULTS[name])


def ctranslate2(is_language_model: bool, out: str) -> str:
    """Return three lines for a translation model, or for a language model.

    >>> print(ctranslate2(False, "out"))
      import ctranslate2
      model = ctranslate2.Translator('out')
      print(model.translate_batch([['two', 'words']])[0].hypotheses[0])
    """
    if is_language_model:
        result = "print(model.generate_batch([['</s>', 'two', 'words']], max_length=9)[0].sequences[0])"
        return _lines("import ctranslate2", f"model = ctranslate2.Generator({out!r})", result)
    result = "print(model.translate_batch([['two', 'words']])[0].hypotheses[0])"
    return _lines("import ctranslate2", f"model = ctranslate2.Translator({out!r})", result)


def _lines(*lines: str) -> str:
    return "\n".join(f"  {line}" for line in lines)
