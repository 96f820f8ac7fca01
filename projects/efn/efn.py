"""EFN: Encoder Fusion Network with Co-Attention Embedding for Referring Image Segmentation (Feng et al., CVPR 2021)."""

from efn_checkpoints import from_efn, to_efn
from efn_decoder import BoundaryDecoder, Step, stretch
from efn_edges import edge_map
from efn_fusion import StageFusion, linear_norm_relu, unit
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models import ReferringModel
from mgfe_ris.models.fit import check_text
from mgfe_ris.models.losses import BinaryCrossEntropy


@MODELS.register_module()
class EFN(ReferringModel):
    """A wide ResNet, whose last three stages go on with what photo and words are together; then a decoder that knows
    of edges.

    Args:
        text_encoder: config; it says ``out_channels`` and ``sentence_channels``, as ``EFNTextEncoder``.
        encoder: config; it says ``out_channels`` of five maps and reads a function of maps, as ``WideResNet``.
        decoder: arguments of :class:`efn_decoder.BoundaryDecoder`, widths of the maps aside.
        transposed_attention: the official form of the co-attention, whose weights do not add up to 1; see
            :class:`efn_fusion.CoAttention`.
        swapped_sides: rows and columns exchanged among the numbers that say where a pixel is, as in the official code;
            see :func:`efn_fusion.places`.
        data_preprocessor, loss, mask: see :class:`mgfe_ris.models.ReferringModel`. Photos come as bytes, 0 to 255:
            a batch norm of theirs is part of the model.
        channels_last, compile: as of ``ReferringSegmentor``; what is compiled are tests alone.

    Raises:
        ValueError: a tokenizer and a text encoder that do not fit one another.
    """

    from_official = staticmethod(from_efn)
    to_official = staticmethod(to_efn)

    def __init__(
        self,
        *,
        data_preprocessor: dict,
        text_encoder: dict,
        encoder: dict,
        decoder: dict | None = None,
        transposed_attention: bool = True,
        swapped_sides: bool = True,
        loss: dict | None = None,
        mask: dict | None = None,
        channels_last: bool = False,
        compile: bool | dict = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor, loss=loss, mask=mask, init_cfg=init_cfg)
        self.text_encoder = MODELS.build(text_encoder)
        self.encoder = MODELS.build(encoder)
        if hasattr(self.data_preprocessor, 'tokenizer'):
            check_text(self.data_preprocessor.tokenizer, self.text_encoder, {})
        words = self.text_encoder.out_channels
        self.image_norm = nn.BatchNorm2d(3)
        self.words = linear_norm_relu(words, words)
        self.sentence = linear_norm_relu(self.text_encoder.sentence_channels, words)
        widths = {str(number): self.encoder.out_channels[number - 1] for number in (3, 4, 5)}
        self.fuse = nn.ModuleDict(
            {name: StageFusion(width, words, transposed_attention, swapped_sides) for name, width in widths.items()}
        )
        self.decoder = BoundaryDecoder(self.encoder.out_channels, **(decoder or {}))
        self.side_loss = BinaryCrossEntropy()
        self.lay_out(channels_last, compile)

    def segment(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> Tensor:
        """image (B or 1, 3, H, W), ids and mask (B, T) -> logits (B, 1, H, W)."""
        return stretch(self.steps(image, token_ids, word_mask)[-1].out, image.shape[-2:])

    def segment_with_losses(
        self, image: Tensor, token_ids: Tensor, word_mask: Tensor, target: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As :meth:`segment`, and the cross entropy of the masks, bodies and edges of all sizes, stretched to the
        photo's: bodies are compared with the mask, edges with :func:`efn_edges.edge_map`."""
        steps = self.steps(image, token_ids, word_mask)
        edges, losses = edge_map(target), {}
        for name, logits in self.decoder.sides(steps).items():
            truth = edges if name.startswith('edge') else target
            losses[f'loss_{name}'] = self.side_loss(stretch(logits, image.shape[-2:]), truth)
        return stretch(steps[-1].out, image.shape[-2:]), losses

    def steps(self, image: Tensor, token_ids: Tensor, word_mask: Tensor) -> list[Step]:
        """Arguments of :meth:`segment` -> what the decoder makes, step by step."""
        text = self.text_encoder(token_ids, word_mask)
        words = self.words(text.words.flatten(0, 1)).unflatten(0, word_mask.shape)
        sentence = unit(self.sentence(text.sentence))

        def fuse(number: int, x: Tensor) -> Tensor:
            return self.fuse[str(number)](x, words, word_mask, sentence) if str(number) in self.fuse else x

        return self.decoder(self.encoder(self.image_norm(image), fuse))
