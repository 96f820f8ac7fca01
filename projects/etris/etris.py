"""ETRIS: Bridging Vision and Language Encoders (Xu et al., ICCV 2023)."""

from etris_bridge import Bridge, Meeting
from etris_checkpoints import from_etris, to_etris
from etris_towers import STAGES, stages_of
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.frozen import freeze, hold_statistics
from mgfe_ris.models.gated_neck import SentenceGatedNeck
from mgfe_ris.models.pixel_decoder import DynamicProjector, PixelDecoder


@MODELS.register_module()
class ETRIS(ReferringModel):
    """CLIP's two towers, frozen, with bridges between them; then a small neck, and CRIS's decoder and projector.

    Args:
        encoder: config of a ``CLIPResNetEncoder`` with its attention pool, or of a ``CLIPViTEncoder`` with its
            projection.
        text_encoder: config of a ``CLIPTextTower``; a third of its blocks runs ahead of each bridge.
        channels: D, of the neck, and of words.
        bridge: arguments of :class:`etris_bridge.Bridge`: ``channels``, ``heads``.
        bridges: how many, at the last depths of three.
        decoder: arguments of :class:`mgfe_ris.models.pixel_decoder.PixelDecoder`, ``channels`` aside.
        trained: pattern of the parameters of CLIP that are trained; ``'.'``: all.
        frozen_statistics: batch norms of frozen weights keep their statistics. In the official code, where only
            the weights are frozen, they follow each batch.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`.
        channels_last, compile: as of ``ReferringSegmentor``.

    Raises:
        ValueError: towers of CLIP that are not of one kind, or have no three stages; a tokenizer that trims padding.
    """

    from_official = staticmethod(from_etris)
    to_official = staticmethod(to_etris)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        encoder: dict,
        text_encoder: dict,
        channels: int = 512,
        bridge: dict | None = None,
        bridges: int = STAGES,
        decoder: dict | None = None,
        trained: str = 'positional_embedding',
        frozen_statistics: bool = False,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.encoder = MODELS.build(encoder)
        self.text_encoder = MODELS.build(text_encoder)
        stages = stages_of(self.encoder)
        words, sentence = self.text_encoder.text_projection.shape
        self._check(words, sentence, channels, bridges)
        self.bridges = nn.ModuleDict(
            {
                str(k): Bridge(
                    *(stages.channels[k], words),
                    stride=stages.strides[k],
                    enlarge=k == STAGES - 1,
                    plain=stages.plain,
                    follows=k > STAGES - bridges,
                    **(bridge or {}),
                )
                for k in range(STAGES - bridges, STAGES)
            }
        )
        self.neck = SentenceGatedNeck([*stages.channels[:-1], sentence], channels, sentence, stages.strides)
        self.decoder = PixelDecoder(channels, **(decoder or {}))
        self.projector = DynamicProjector(sentence, channels // 2)
        self.frozen_statistics = frozen_statistics
        for tower in (self.encoder, self.text_encoder):
            freeze(tower, but=trained)
        self.lay_out(channels_last, compile)

    def _check(self, words: int, sentence: int, channels: int, bridges: int) -> None:
        if self.encoder.out_channels[-1] != sentence or words != channels:
            raise ValueError(
                f'the encoder ends with {self.encoder.out_channels[-1]} channels, the sentence has {sentence}; words '
                f'have {words} and channels is {channels}: expected the same, twice'
            )
        if len(self.text_encoder.blocks) % STAGES:
            raise ValueError(f'text_encoder: depth must be a multiple of {STAGES}; got {len(self.text_encoder.blocks)}')
        if self.data_preprocessor.tokenizer.trim:
            raise ValueError('ETRIS reads padding, so that every batch needs the same: set tokenizer.trim=False')
        if not 0 <= bridges <= STAGES:
            raise ValueError(f'bridges must be 0 to {STAGES}; got {bridges}')

    def train(self, mode: bool = True) -> 'ETRIS':
        super().train(mode)
        if self.frozen_statistics:
            hold_statistics(self.encoder)
        return self

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H / 4, W / 4)."""
        feats, words = self.run_towers(image, token_ids)
        sentence = self.text_encoder.sentence(words, word_mask)
        x = self.neck(feats, sentence)
        x = self.decoder(x, words, hidden=~word_mask)
        return self.projector(x, sentence)

    def run_towers(self, image: Tensor, token_ids: Tensor) -> tuple[list[Tensor], Tensor]:
        """-> three maps, the last one in the sentences' space, and words (B, T, D): all have heard of each other."""
        stages, depth = stages_of(self.encoder), len(self.text_encoder.blocks) // STAGES
        x = stages.begin(image)
        words, causal = self.text_encoder.embed(token_ids)
        maps: list[Tensor] = []
        before: Meeting | None = None
        for k in range(STAGES):
            x = stages.stage(k, x)
            for block in self.text_encoder.blocks[k * depth : (k + 1) * depth]:
                words = block(words, causal)
            if str(k) in self.bridges:
                seen, said, before = self.bridges[str(k)](stages.map_of(x), words, before)
                x, words = stages.add(x, seen), words + said
            maps.append(stages.map_of(x))
        return [*maps[:-1], stages.end(x)], self.text_encoder.ln_final(words)
