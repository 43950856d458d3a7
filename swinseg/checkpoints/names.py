"""Parameter names of a Swin Transformer in every library, as tables.

A row pairs a key of the library with mmseg's key. Both are templates: ``{leaf}`` stands for ``weight`` or
``bias``, ``{i}`` for the stage, ``{j}`` for the block, and ``{2i+1}`` for a number computed from the stage.
One table serves both directions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_PLACEHOLDER = re.compile(r'\{(?P<factor>\d*)(?P<name>[a-z]+)(?:\+(?P<offset>\d+))?\}')
# No network has more blocks or stages than these can count.
_MOST_DIGITS = 9
_TEXTS = {'leaf': r'\w+', 'head': r'decode_head|auxiliary_head', 'path': r'[\w.]+'}


class Template:
    """A key with placeholders, which can be read out of a key and written into one."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._numbers: dict[str, tuple[int, int]] = {}
        pattern, end = '', 0
        for match in _PLACEHOLDER.finditer(text):
            name = match['name']
            if name not in _TEXTS:
                self._numbers[name] = (int(match['factor'] or 1), int(match['offset'] or 0))
            pattern += re.escape(text[end : match.start()])
            pattern += f'(?P<{name}>{_TEXTS.get(name, r"[0-9]+")})'
            end = match.end()
        self._pattern = re.compile(pattern + re.escape(text[end:]))

    def read(self, key: str) -> dict[str, str] | None:
        """Return the values of the placeholders in ``key``, or None when the key does not match."""
        match = self._pattern.fullmatch(key)
        if match is None:
            return None
        values = match.groupdict()
        for name, (factor, offset) in self._numbers.items():
            if len(values[name]) > _MOST_DIGITS:
                return None
            number, rest = divmod(int(values[name]) - offset, factor)
            if rest or number < 0:
                return None
            values[name] = str(number)
        return values

    def write(self, values: Mapping[str, str]) -> str:
        """Return the key with the placeholders filled in."""

        def fill(match: re.Match[str]) -> str:
            value = values[match['name']]
            if match['name'] in _TEXTS:
                return value
            return str(int(match['factor'] or 1) * int(value) + int(match['offset'] or 0))

        return _PLACEHOLDER.sub(fill, self._text)


Table = tuple[tuple[Template, Template], ...]


def table_of(rows: Iterable[tuple[str, str]]) -> Table:
    """Return the table of (the library's key, mmseg's key)."""
    return tuple((Template(theirs), Template(mmseg)) for theirs, mmseg in rows)


def _blocks(theirs: str, rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f'{theirs}.{name}', f'stages.{{i}}.blocks.{{j}}.{mmseg}') for name, mmseg in rows]


def translate(key: str, table: Table, *, to_mmseg: bool) -> str | None:
    """Return the other library's name of ``key``, or None when no row of ``table`` knows it."""
    for theirs, mmseg in table:
        source, target = (theirs, mmseg) if to_mmseg else (mmseg, theirs)
        values = source.read(key)
        if values is not None:
            return target.write(values)
    return None


# Of the second version.
_COSINE_ATTENTION = [
    ('attn.logit_scale', 'attn.w_msa.logit_scale'),
    ('attn.cpb_mlp.{path}', 'attn.w_msa.cpb_mlp.{path}'),
    ('attn.q_bias', 'attn.w_msa.q_bias'),
    ('attn.v_bias', 'attn.w_msa.v_bias'),
]
_OFFICIAL_BLOCK = [
    ('norm1.{leaf}', 'norm1.{leaf}'),
    ('attn.relative_position_bias_table', 'attn.w_msa.relative_position_bias_table'),
    ('attn.qkv.{leaf}', 'attn.w_msa.qkv.{leaf}'),
    ('attn.proj.{leaf}', 'attn.w_msa.proj.{leaf}'),
    *_COSINE_ATTENTION,
    ('norm2.{leaf}', 'norm2.{leaf}'),
    ('mlp.fc1.{leaf}', 'ffn.layers.0.0.{leaf}'),
    ('mlp.fc2.{leaf}', 'ffn.layers.1.{leaf}'),
]
_OFFICIAL_STEM = [
    ('patch_embed.proj.{leaf}', 'patch_embed.projection.{leaf}'),
    ('patch_embed.norm.{leaf}', 'patch_embed.norm.{leaf}'),
    ('norm.{leaf}', 'norm.{leaf}'),
]
_SAME_HEADS = [('{head}.{path}', '{head}.{path}')]

# github.com/microsoft/Swin-Transformer, and its fork of mmsegmentation 0.x for ADE20K.
OFFICIAL = table_of(
    [
        *_OFFICIAL_STEM,
        *_blocks('layers.{i}.blocks.{j}', _OFFICIAL_BLOCK),
        ('layers.{i}.downsample.norm.{leaf}', 'stages.{i}.downsample.norm.{leaf}'),
        ('layers.{i}.downsample.reduction.{leaf}', 'stages.{i}.downsample.reduction.{leaf}'),
        ('absolute_pos_embed', 'absolute_pos_embed'),
        ('norm{i}.{leaf}', 'norm{i}.{leaf}'),
        *_SAME_HEADS,
    ]
)

# timm >= 0.9: a stage begins with its downsampling, where the official code ends with it.
TIMM = table_of(
    [
        *_OFFICIAL_STEM,
        *_blocks('layers.{i}.blocks.{j}', _OFFICIAL_BLOCK),
        ('layers.{i+1}.downsample.norm.{leaf}', 'stages.{i}.downsample.norm.{leaf}'),
        ('layers.{i+1}.downsample.reduction.{leaf}', 'stages.{i}.downsample.reduction.{leaf}'),
    ]
)

TORCHVISION = table_of(
    [
        ('features.0.0.{leaf}', 'patch_embed.projection.{leaf}'),
        ('features.0.2.{leaf}', 'patch_embed.norm.{leaf}'),
        *_blocks(
            'features.{2i+1}.{j}',
            [
                *_OFFICIAL_BLOCK[:-2],
                ('mlp.0.{leaf}', 'ffn.layers.0.0.{leaf}'),
                ('mlp.3.{leaf}', 'ffn.layers.1.{leaf}'),
            ],
        ),
        ('features.{2i+2}.norm.{leaf}', 'stages.{i}.downsample.norm.{leaf}'),
        ('features.{2i+2}.reduction.{leaf}', 'stages.{i}.downsample.reduction.{leaf}'),
        ('norm.{leaf}', 'norm.{leaf}'),
    ]
)

_HUGGINGFACE_STEM = [
    ('embeddings.patch_embeddings.projection.{leaf}', 'patch_embed.projection.{leaf}'),
    ('embeddings.norm.{leaf}', 'patch_embed.norm.{leaf}'),
    ('embeddings.position_embeddings', 'absolute_pos_embed'),
    ('encoder.layers.{i}.downsample.norm.{leaf}', 'stages.{i}.downsample.norm.{leaf}'),
    ('encoder.layers.{i}.downsample.reduction.{leaf}', 'stages.{i}.downsample.reduction.{leaf}'),
    ('hidden_states_norms.stage{i+1}.{leaf}', 'norm{i}.{leaf}'),
    ('layernorm.{leaf}', 'norm.{leaf}'),
    ('{head}.classifier.{leaf}', '{head}.conv_seg.{leaf}'),
    ('{head}.{path}.batch_norm.{leaf}', '{head}.{path}.bn.{leaf}'),
    ('{head}.{path}', '{head}.{path}'),
]
_HUGGINGFACE_BLOCK = 'encoder.layers.{i}.blocks.{j}'

# The names in the published files, which every version's from_pretrained reads and save_pretrained writes.
# Query, key and value are separate here; formats.py joins them into qkv.
HUGGINGFACE = table_of(
    [
        *_HUGGINGFACE_STEM,
        *_blocks(
            _HUGGINGFACE_BLOCK,
            [
                ('layernorm_before.{leaf}', 'norm1.{leaf}'),
                (
                    'attention.self.relative_position_bias_table',
                    'attn.w_msa.relative_position_bias_table',
                ),
                ('attention.self.query.{leaf}', 'attn.w_msa.query.{leaf}'),
                ('attention.self.key.{leaf}', 'attn.w_msa.key.{leaf}'),
                ('attention.self.value.{leaf}', 'attn.w_msa.value.{leaf}'),
                ('attention.self.logit_scale', 'attn.w_msa.logit_scale'),
                (
                    'attention.self.continuous_position_bias_mlp.{path}',
                    'attn.w_msa.cpb_mlp.{path}',
                ),
                ('attention.output.dense.{leaf}', 'attn.w_msa.proj.{leaf}'),
                ('layernorm_after.{leaf}', 'norm2.{leaf}'),
                ('intermediate.dense.{leaf}', 'ffn.layers.0.0.{leaf}'),
                ('output.dense.{leaf}', 'ffn.layers.1.{leaf}'),
            ],
        ),
    ]
)

# The names of the modules in memory since transformers 5.
HUGGINGFACE_V5 = table_of(
    [
        *_HUGGINGFACE_STEM,
        *_blocks(
            _HUGGINGFACE_BLOCK,
            [
                ('layernorm_before.{leaf}', 'norm1.{leaf}'),
                (
                    'attention.relative_position_bias.relative_position_bias_table',
                    'attn.w_msa.relative_position_bias_table',
                ),
                ('attention.q_proj.{leaf}', 'attn.w_msa.query.{leaf}'),
                ('attention.k_proj.{leaf}', 'attn.w_msa.key.{leaf}'),
                ('attention.v_proj.{leaf}', 'attn.w_msa.value.{leaf}'),
                ('attention.o_proj.{leaf}', 'attn.w_msa.proj.{leaf}'),
                ('layernorm_after.{leaf}', 'norm2.{leaf}'),
                ('mlp.fc1.{leaf}', 'ffn.layers.0.0.{leaf}'),
                ('mlp.fc2.{leaf}', 'ffn.layers.1.{leaf}'),
            ],
        ),
    ]
)
