# OpenAI's archives, for configs to take by name: checkpoint=_base_.clip_rn50
clip = 'https://openaipublic.azureedge.net/clip/models/'
clip_rn50 = clip + 'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt'
clip_rn101 = clip + '8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt'
clip_vit_b16 = clip + '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt'
