"""BarLeRIa: An Efficient Tuning Framework for Referring Image Segmentation (Wang et al., ICLR 2024)."""

from collections.abc import Sequence

import torch
from barleria_checkpoints import from_barleria, to_barleria
from barleria_flow import BlockFlows
from barleria_side import SideNetwork, prompt_layers
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.encoders import CLIPViTEncoder
from mgfe_ris.models.encoders.layout import to_map
from mgfe_ris.models.frozen import freeze
from mgfe_ris.models.gated_neck import SentenceGatedNeck
from mgfe_ris.models.pixel_decoder import DynamicProjector, PixelDecoder


@MODELS.register_module()
class BarLeRIa(ReferringModel):
    """CLIP, frozen, with flows in its blocks and words among its patches; a side network; CRIS's decoder and projector.

    A sentence is as long as its padding: each of its tokens becomes a prompt, and takes part everywhere.

    Args:
        encoder: config of a ``CLIPViTEncoder`` with ``projection_channels``; its ``grid`` is that of the photos.
        text_encoder: config of a ``CLIPTextTower``.
        flow_steps: K, planar steps of a flow.
        levels: the two blocks of CLIP, from 0, whose patches go into the neck, beside what CLIP gives in the end.
        side: arguments of :class:`SideNetwork`; ``in_channels``, ``word_channels``, ``grid`` and ``patch_size`` are
            the encoders'.
        decoder: arguments of :class:`mgfe_ris.models.pixel_decoder.PixelDecoder`, ``channels`` aside.
        frozen: CLIP's weights stay, all but the two tables of positions; False: they train, for models from scratch.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last: as of ``ReferringSegmentor``.
        compile: as of ``ReferringSegmentor``, but for tests alone: a step of training has a second loss.

    Raises:
        ValueError: an encoder of another kind, or one that does not project into the sentences' space; levels that are
            not two blocks of it; a tokenizer that trims; arguments that :class:`SideNetwork` refuses. In a forward:
            photos of another size.
    """

    from_official = staticmethod(from_barleria)
    to_official = staticmethod(to_barleria)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        encoder: dict,
        text_encoder: dict,
        flow_steps: int = 4,
        levels: Sequence[int] = (3, 7),
        side: dict | None = None,
        decoder: dict | None = None,
        frozen: bool = True,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        if getattr(getattr(self.data_preprocessor, 'tokenizer', None), 'trim', False):
            raise ValueError('BarLeRIa reads padding, too: data_preprocessor.tokenizer.trim must be False')
        self.encoder = MODELS.build(encoder)
        self.text_encoder = MODELS.build(text_encoder)
        if not isinstance(self.encoder, CLIPViTEncoder):
            raise ValueError(f'encoder must be a CLIPViTEncoder; got {type(self.encoder).__name__}')
        width, channels = self.encoder.width, self.text_encoder.out_channels
        projection = getattr(self.text_encoder, 'text_projection', None)
        sentence = None if projection is None else projection.shape[1]
        if sentence is None or self.encoder.projection_channels != sentence:
            raise ValueError(
                f'encoder.projection_channels is {self.encoder.projection_channels}, the sentence has {sentence} '
                'channels: expected the same number'
            )
        if len(levels) != 2:
            raise ValueError(f'levels must be two blocks, one for each map of the neck but the last; got {levels}')
        _require_blocks('levels', levels, self.encoder)
        self.levels = tuple(levels)
        self.image_flows = nn.ModuleList(BlockFlows(width, flow_steps) for _ in self.encoder.blocks)
        self.text_flows = nn.ModuleList(BlockFlows(channels, flow_steps) for _ in self.text_encoder.blocks)
        self.prompts = prompt_layers(channels, width)
        self.side = SideNetwork(width, channels, self.encoder.grid, self.encoder.patch_size, **(side or {}))
        _require_blocks('side.fusions', self.side.sources.values(), self.encoder)
        self.side_linear = nn.Linear(self.side.out_channels, channels)
        self.neck = SentenceGatedNeck((width, width, sentence), channels, sentence, strides=(1, 1, 1))
        self.decoder = PixelDecoder(channels, **(decoder or {}))
        self.projector = DynamicProjector(sentence, channels // 2)
        if frozen:
            freeze(self.encoder, but='positional_embedding')
            freeze(self.text_encoder, but='positional_embedding')
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H / 4, W / 4)."""
        return self._segment(image, token_ids, word_mask)[0]

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`segment`, and the side network's own loss."""
        logits, loss = self._segment(image, token_ids, word_mask)
        return logits, {'loss_var': loss}

    def _segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        grid, patch = self.encoder.grid, self.encoder.patch_size
        if image.shape[2:] != (grid * patch, grid * patch):
            raise ValueError(
                f'BarLeRIa with a grid of {grid} reads photos of {grid * patch}x{grid * patch} pixels; got '
                f'{image.shape[2]}x{image.shape[3]}: set encoder.grid and the size of the pipelines to one another'
            )
        embedded, words = self._read(token_ids)
        sentence = self.text_encoder.sentence(words, word_mask)
        patches, last = self._look(image, self.prompts(embedded))
        x = self.neck([*(to_map(patches[i], (grid, grid)) for i in self.levels), last], sentence)
        aside, loss = self.side(image, words, patches)
        x = x + self.side_linear(aside.movedim(1, 3)).movedim(3, 1)
        x = self.decoder(x, words, hidden=~word_mask)
        return self.projector(x, sentence), loss

    def _read(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, T) -> words before the first block and after the last (B, T, d)."""
        embedded, causal = self.text_encoder.embed(token_ids)
        x = embedded
        for block, flows in zip(self.text_encoder.blocks, self.text_flows, strict=True):
            x = block(x, causal, kept=(flows.attn, flows.mlp))
        return embedded, self.text_encoder.ln_final(x)

    def _look(self, image: Tensor, prompts: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """image (B or 1, 3, H, W), prompts (B, T, D) -> the patches (B, n, D) after each block, and the last ones in
        the sentences' space (B, E, g, g)."""
        x = self.encoder.embed(image).expand(prompts.shape[0], -1, -1)
        x = torch.cat([x[:, :1], prompts, x[:, 1:]], dim=1)
        after = {}
        for i, (block, flows) in enumerate(zip(self.encoder.blocks, self.image_flows, strict=True)):
            x = block(x, kept=(flows.attn, flows.mlp))
            after[i] = x[:, 1 + prompts.shape[1] :]
        return after, self.encoder.project(torch.cat([x[:, :1], after[i]], dim=1))


def _require_blocks(name: str, numbers: Sequence[int], encoder: nn.Module) -> None:
    if not set(numbers) <= set(range(len(encoder.blocks))):
        raise ValueError(f'{name} must name blocks 0 to {len(encoder.blocks) - 1} of the encoder; got {tuple(numbers)}')
