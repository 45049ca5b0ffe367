"""Networks that see images, and those that make them."""

from __future__ import annotations

import numpy as np

from tests.models_of_others.cases import explain, floats, ids, together

import chainer
import chainer.functions as F
import chainer.links as L


@explain(floats(1, 12, 12), class_index="argmax", draws=True)
class LeNet(chainer.Chain):
    """Convolutions and max poolings by turns, sizes of linear layers left open."""

    def __init__(self):
        super().__init__(
            conv1=L.Convolution2D(None, 2, ksize=3),
            conv2=L.Convolution2D(None, 3, ksize=2),
            fc1=L.Linear(None, 5),
            fc2=L.Linear(None, 4),
        )

    def __call__(self, x):
        h = F.max_pooling_2d(F.relu(self.conv1(x)), 2, 2)
        h = F.max_pooling_2d(F.relu(self.conv2(h)), 2, 2)
        return self.fc2(F.dropout(F.relu(self.fc1(h))))


class Block(chainer.Chain):
    """Convolution without a bias, batch normalization, ReLU."""

    def __init__(self, out_channels, ksize=3, pad=1):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(None, out_channels, ksize, pad=pad, nobias=True)
            self.bn = L.BatchNormalization(out_channels)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


@explain(floats(3, 8, 8), class_index=0, draws=True)
class VGG(chainer.Chain):
    """Blocks with dropout of several ratios between them."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.block1_1 = Block(3)
            self.block1_2 = Block(3)
            self.block2_1 = Block(4)
            self.fc1 = L.Linear(None, 5, nobias=True)
            self.bn_fc1 = L.BatchNormalization(5)
            self.fc2 = L.Linear(None, 3, nobias=True)

    def forward(self, x):
        h = F.dropout(self.block1_1(x), ratio=0.3)
        h = F.max_pooling_2d(self.block1_2(h), ksize=2, stride=2)
        h = F.max_pooling_2d(F.dropout(self.block2_1(h), ratio=0.4), 2, stride=2)
        h = F.relu(self.bn_fc1(self.fc1(F.dropout(h, ratio=0.5))))
        return self.fc2(F.dropout(h, ratio=0.5))


class BottleNeck(chainer.Chain):
    def __init__(self, n_in, n_mid, n_out, stride=1, projects=False):
        super().__init__()
        self.projects = projects
        with self.init_scope():
            self.conv1 = L.Convolution2D(n_in, n_mid, 1, stride, 0, nobias=True)
            self.bn1 = L.BatchNormalization(n_mid)
            self.conv2 = L.Convolution2D(n_mid, n_mid, 3, 1, 1, nobias=True)
            self.bn2 = L.BatchNormalization(n_mid)
            self.conv3 = L.Convolution2D(n_mid, n_out, 1, 1, 0, nobias=True)
            self.bn3 = L.BatchNormalization(n_out)
            if projects:
                self.conv4 = L.Convolution2D(n_in, n_out, 1, stride, 0, nobias=True)
                self.bn4 = L.BatchNormalization(n_out)

    def __call__(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        h = self.bn3(self.conv3(h))
        return F.relu(h + (self.bn4(self.conv4(x)) if self.projects else x))


@explain(floats(3, 9, 9))
class ResNet(chainer.Chain):
    """Two bottlenecks, one with a projection, and global average pooling."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(3, 4, 3, 2, 1)
            self.bn1 = L.BatchNormalization(4)
            self.res2 = chainer.Sequential(
                BottleNeck(4, 2, 6, 2, projects=True), BottleNeck(6, 2, 6)
            )
            self.fc6 = L.Linear(6, 3)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.res2(F.max_pooling_2d(h, 3, stride=1))
        return self.fc6(F.reshape(F.average_pooling_2d(h, h.shape[2:]), (len(x), 6)))


@explain(floats(2, 8, 8), output="/aux", class_index=0)
class Inception(chainer.Chain):
    """Branches of several widths, concatenated; its auxiliary head is explained."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.inc3a = L.Inception(2, 1, 2, 2, 1, 2, 1)
            self.inc3b = L.Inception(6, 2, 1, 2, 1, 1, 1)
            self.aux = L.Linear(6, 2)
            self.out = L.Linear(6, 2)

    def forward(self, x):
        h = self.inc3a(x)
        aux = self.aux(F.mean(h, axis=(2, 3)))
        h = self.inc3b(F.max_pooling_2d(h, 2))
        return self.out(F.mean(h, axis=(2, 3))) + 0.3 * aux


@explain(floats(3, 6, 6), draws=True)
class DenseNet(chainer.ChainList):
    """Every layer sees the maps of all layers before it."""

    def __init__(self, n_layer=3, growth=2):
        super().__init__()
        for i in range(n_layer):
            n_in = 3 + i * growth
            self.append(L.BatchNormalization(n_in))
            self.append(L.Convolution2D(n_in, growth, 3, pad=1))
        self.append(L.Linear(3 + n_layer * growth, 2))

    def forward(self, x):
        for bn, conv in zip(self[:-1:2], self[1::2]):
            h = F.dropout(conv(F.relu(bn(x))), 0.2)
            x = F.concat((x, h))
        return self[-1](F.average(x, axis=(2, 3)))


@explain(floats(2, 6, 6), target="/conv", class_index="argmax")
class SqueezeAndExcitation(chainer.Chain):
    """Weighs channels by what all places of the map say together."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 4, 3, pad=1)
            self.down = L.Linear(4, 2)
            self.up = L.Linear(2, 4)
            self.fc = L.Linear(4, 3)

    def forward(self, x):
        u = self.conv(x)
        z = F.average_pooling_2d(u, u.shape[-2:])
        s = F.sigmoid(self.up(F.relu(self.down(z))))
        u = F.relu(F.scale(u, s, axis=0))
        return self.fc(F.average(u, axis=(2, 3)))


@explain(floats(3, 6, 6), class_index=2)
class MobileNet(chainer.Chain):
    """Depthwise and pointwise convolutions, ReLU6, shuffled groups."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.stem = L.Convolution2D(3, 4, 3, 2, 1, nobias=True)
            self.bn = L.BatchNormalization(4)
            self.depthwise = L.DepthwiseConvolution2D(4, 1, 3, pad=1)
            self.grouped = L.Convolution2D(4, 6, 1, groups=2)
            self.out = L.Convolution2D(6, 3, 1)

    def forward(self, x):
        h = F.clipped_relu(self.bn(self.stem(x)), 6.0)
        h = F.clipped_relu(self.grouped(self.depthwise(h)), 6.0)
        n, c, height, width = h.shape
        h = F.transpose(F.reshape(h, (n, 2, c // 2, height, width)), (0, 2, 1, 3, 4))
        h = self.out(F.reshape(h, (n, c, height, width)))
        return F.max(h, axis=(2, 3))


@explain(floats(3), class_index=(0, slice(2, 5), slice(0, 3)))
class Generator(chainer.Chain):
    """A DCGAN's, from noise to an image; a patch of it is explained."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l0 = L.Linear(3, 4 * 2 * 2)
            self.dc1 = L.Deconvolution2D(4, 3, 4, 2, 1)
            self.dc2 = L.Deconvolution2D(3, 1, 4, 2, 1)
            self.bn0 = L.BatchNormalization(4 * 2 * 2)
            self.bn1 = L.BatchNormalization(3)

    def forward(self, z):
        h = F.reshape(F.relu(self.bn0(self.l0(z))), (len(z), 4, 2, 2))
        h = F.relu(self.bn1(self.dc1(h)))
        return F.tanh(self.dc2(h))


def add_noise(h, sigma=0.2):
    if not chainer.config.train:
        return h
    return h + sigma * h.xp.random.randn(*h.shape).astype(h.dtype)


@explain(floats(2, 8, 8), class_index="sum", draws=True)
class Discriminator(chainer.Chain):
    """A DCGAN's: noise of its own on every layer in training mode, leaky ReLU."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.c0 = L.Convolution2D(2, 3, 4, 2, 1)
            self.c1 = L.Convolution2D(3, 4, 4, 2, 1)
            self.l = L.Linear(None, 1)
            self.bn = L.BatchNormalization(4, use_gamma=False)

    def forward(self, x):
        h = F.leaky_relu(add_noise(self.c0(add_noise(x))))
        h = F.leaky_relu(add_noise(self.bn(self.c1(h))))
        return self.l(h)


@explain(floats(2, 6, 6), class_index="sum", draws=True)
class SpectralDiscriminator(chainer.Chain):
    """Chainer's hook for spectral normalization on every layer."""

    def __init__(self):
        super().__init__()
        hook = chainer.link_hooks.SpectralNormalization
        with self.init_scope():
            self.conv = L.Convolution2D(2, 3, 3).add_hook(hook())
            self.out = L.Linear(3, 1, nobias=True).add_hook(hook(factor=2.0))

    def forward(self, x):
        h = F.dropout(F.leaky_relu(self.conv(x)), 0.3)
        return self.out(F.sum(h, axis=(2, 3)))


class NormalizedConvolution(L.Convolution2D):
    """Divides its weights by their largest singular value, as far as u knows it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.u = np.ones((1, self.W.shape[0]), self.W.dtype)
        self.register_persistent("u")

    @property
    def normalized(self):
        W = self.W.array.reshape(len(self.W), -1)
        v = self.u @ W
        v = v / np.linalg.norm(v)
        u = v @ W.T
        u = u / np.linalg.norm(u)
        if chainer.config.train:
            self.u[:] = u
        sigma = F.sum(F.linear(u, F.transpose(F.reshape(self.W, W.shape))) * v)
        return self.W / F.broadcast_to(sigma, self.W.shape)

    def __call__(self, x):
        return F.convolution_2d(x, self.normalized, self.b, self.stride, self.pad)


@explain(
    together(floats(2, 6, 6), ids(4)),
    class_index="sum",
    draws=True,
)
class ProjectionDiscriminator(chainer.Chain):
    """Weights normalized by a link of its own, and the projection on a class."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = NormalizedConvolution(2, 3, 3)
            self.l = L.Linear(3, 1)
            self.of_class = L.EmbedID(4, 3)

    def __call__(self, x, y=None):
        h = F.sum(F.relu(self.conv(F.dropout(x, 0.2))), axis=(2, 3))
        output = self.l(h)
        if y is not None:
            output += F.sum(self.of_class(y) * h, axis=1, keepdims=True)
        return output


class ConditionalNormalization(chainer.Chain):
    """Takes scale and shift from the class of the image."""

    def __init__(self, size, n_class):
        super().__init__()
        with self.init_scope():
            self.norm = L.BatchNormalization(size, use_gamma=False, use_beta=False)
            self.gammas = L.EmbedID(n_class, size)
            self.betas = L.EmbedID(n_class, size)

    def __call__(self, x, c):
        h = self.norm(x)
        gamma = F.broadcast_to(self.gammas(c)[:, :, None, None], h.shape)
        beta = F.broadcast_to(self.betas(c)[:, :, None, None], h.shape)
        return gamma * h + beta


@explain(
    together(floats(2), ids(3)),
    class_index=(0, 3, 2),
    without={"conservation": "half of a product goes to the scale of the class"},
)
class ConditionalGenerator(chainer.Chain):
    """Blocks whose normalization knows the class, between upsampled maps."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(2, 3 * 2 * 2)
            self.b2 = ConditionalNormalization(3, 3)
            self.c2 = L.Convolution2D(3, 2, 3, pad=1)
            self.b3 = ConditionalNormalization(2, 3)
            self.c3 = L.Convolution2D(2, 1, 1)

    def __call__(self, z, y):
        h = F.reshape(self.l1(z), (len(z), 3, 2, 2))
        h = F.unpooling_2d(F.relu(self.b2(h, y)), 2, 2, 0, outsize=(4, 4))
        h = F.relu(self.b3(self.c2(h), y))
        return F.tanh(self.c3(h))


def sampled(model, x):
    """Returns what is decoded of what is drawn in training mode."""
    mu, ln_var = model.encode(x)
    z = F.gaussian(mu, ln_var) if chainer.config.train else mu
    return model.decode(z)


@explain(
    floats(6),
    eval_fun=sampled,
    class_index=3,
    draws=True,
    without={"lrp in training": "its code is drawn from a normal distribution"},
)
class VAE(chainer.Chain):
    """An encoder of means and variances, and a decoder."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.le1 = L.Linear(6, 4)
            self.le2_mu = L.Linear(4, 2)
            self.le2_ln_var = L.Linear(4, 2)
            self.ld1 = L.Linear(2, 4)
            self.ld2 = L.Linear(4, 6)

    def encode(self, x):
        h1 = F.tanh(self.le1(x))
        return self.le2_mu(h1), self.le2_ln_var(h1)

    def decode(self, z, sigmoid=True):
        h = self.ld2(F.tanh(self.ld1(z)))
        return F.sigmoid(h) if sigmoid else h

    def forward(self, x, sigmoid=True):
        return self.decode(self.encode(x)[0], sigmoid)


explain(
    floats(6),
    name="VAEVariance",
    eval_fun=lambda model, x: F.exp(model.encode(x)[1]),
    class_index="sum",
)(VAE)


def reconstruction_error(model, x):
    return F.sum((model(x) - x) ** 2, axis=(1, 2, 3)) * 0.5


@explain(
    floats(1, 6, 6),
    eval_fun=reconstruction_error,
    class_index="sum",
)
class Autoencoder(chainer.Chain):
    """Its error, by which anomalies are found, is explained."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.encode = L.Convolution2D(1, 2, 2, stride=2)
            self.code = L.Linear(18, 3)
            self.uncode = L.Linear(3, 18)
            self.decode = L.Deconvolution2D(2, 1, 2, stride=2)

    def forward(self, x):
        h = F.elu(self.encode(x))
        h = F.elu(self.uncode(F.elu(self.code(h))))
        return self.decode(F.reshape(h, (len(x), 2, 3, 3)))


@explain(floats(2, 8, 8), class_index=(1, slice(2, 5), slice(3, 6)))
class UNet(chainer.Chain):
    """Goes down and up again, with the maps of the way down beside it."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.c0 = L.Convolution2D(2, 3, 3, 1, 1)
            self.c1 = L.Convolution2D(3, 4, 4, 2, 1)
            self.c2 = L.Convolution2D(4, 4, 3, 1, 1)
            self.dc1 = L.Deconvolution2D(8, 3, 4, 2, 1)
            self.out = L.Convolution2D(6, 2, 3, 1, 1)
            self.bnc1 = L.BatchNormalization(4)
            self.bnd1 = L.BatchNormalization(3)

    def __call__(self, x):
        e0 = F.relu(self.c0(x))
        e1 = F.relu(self.bnc1(self.c1(e0)))
        e2 = F.relu(self.c2(e1))
        d1 = F.relu(self.bnd1(self.dc1(F.concat([e1, e2]))))
        return self.out(F.concat([e0, d1]))


@explain(
    floats(2, 8, 8),
    eval_fun=lambda model, x: F.mean(model(x), axis=(2, 3)),
    dtypes="f",
)
class FCN(chainer.Chain):
    """Scores of classes at two scales, resized to the image and added up."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.DilatedConvolution2D(2, 3, 3, pad=2, dilate=2)
            self.conv2 = L.Convolution2D(3, 3, 3, pad=1)
            self.score1 = L.Convolution2D(3, 2, 1)
            self.score2 = L.Convolution2D(3, 2, 1)

    def forward(self, x):
        pool1 = F.max_pooling_2d(F.relu(self.conv1(x)), 2)
        pool2 = F.average_pooling_2d(F.relu(self.conv2(pool1)), 2)
        maps = [self.score1(pool1), self.score2(pool2)]
        return sum(F.resize_images(m, x.shape[2:]) for m in maps)


def confidence(model, x):
    return model(x)[1]


@explain(floats(2, 8, 8), eval_fun=confidence, class_index=(7, 2))
class SSD(chainer.Chain):
    """Places and classes of boxes, from maps of several sizes."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv4 = L.Convolution2D(2, 4, 3, stride=2, pad=1)
            self.norm4 = L.Scale(W_shape=4)
            self.conv5 = L.Convolution2D(4, 4, 3, stride=2, pad=1)
            self.loc = chainer.ChainList()
            self.conf = chainer.ChainList()
            for _ in range(2):
                self.loc.add_link(L.Convolution2D(None, 2 * 4, 3, pad=1))
                self.conf.add_link(L.Convolution2D(None, 2 * 3, 3, pad=1))

    @staticmethod
    def flat(maps, n_value):
        maps = F.transpose(maps, (0, 2, 3, 1))
        return F.reshape(maps, (maps.shape[0], -1, n_value))

    def __call__(self, x):
        h = F.relu(self.conv4(x))
        scales = [self.norm4(F.normalize(h)), F.relu(self.conv5(h))]
        locs = [self.flat(loc(s), 4) for loc, s in zip(self.loc, scales)]
        confs = [self.flat(conf(s), 3) for conf, s in zip(self.conf, scales)]
        return F.concat(locs, axis=1), F.concat(confs, axis=1)


def box(rng, dtype):
    """Draws two boxes in an image of 8 x 8."""
    corner = rng.uniform(0, 3, (2, 2))
    return np.concatenate([corner, corner + rng.uniform(2, 5, (2, 2))], 1).astype(dtype)


@explain(
    together(floats(2, 8, 8), box),
    eval_fun=lambda model, x, boxes: model(x, boxes)[0],
    class_index=(1, 2),
    dtypes="f",
)
class RoIHead(chainer.Chain):
    """Pools the maps of an image in its boxes, and gives scores and places of each."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.extractor = L.Convolution2D(2, 3, 3, pad=1)
            self.fc = L.Linear(12, 5)
            self.score = L.Linear(5, 3)
            self.place = L.Linear(5, 4)

    def forward(self, x, boxes):
        n, n_box, _ = boxes.shape
        h = F.relu(self.extractor(x))
        index = self.xp.repeat(self.xp.arange(n, dtype=np.int32), n_box)
        rois = boxes.reshape(-1, 4).astype(h.dtype)
        pooled = F.roi_average_align_2d(h, rois, index, 2, 1.0, 2)
        h = F.relu(self.fc(pooled))
        scores, places = self.score(h), self.place(h)
        return F.reshape(scores, (n, n_box, 3)), F.reshape(places, (n, n_box, 4))


class Embedding(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(1, 2, 3)
            self.fc = L.Linear(None, 3)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)))


@explain(
    together(floats(1, 5, 5), floats(1, 5, 5)),
    class_index="sum",
    without={"conservation": "the other image has its part"},
)
class Siamese(chainer.Chain):
    """The squared distance of two images in a space that both are taken to."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.embed = Embedding()

    def forward(self, x_0, x_1):
        y_0, y_1 = self.embed(x_0), self.embed(x_1)
        return F.batch_l2_norm_squared(y_0 - y_1)


@explain(floats(1, 6, 6))
class SpatialTransformer(chainer.Chain):
    """Turns and shifts the image by itself before it looks at it."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.where = L.Linear(36, 6)
            self.what = L.Linear(16, 2)

    def forward(self, x):
        theta = F.reshape(F.tanh(self.where(x)), (-1, 2, 3))
        grid = F.spatial_transformer_grid(theta * 0.5, (4, 4))
        return self.what(F.spatial_transformer_sampler(x, grid))


@explain(
    floats(6), class_index="argmax", without={"conservation": "squares have halves"}
)
class Capsules(chainer.Chain):
    """Capsules that agree on what they vote for, in two rounds of routing."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.primary = L.Linear(6, 4 * 2)
            self.votes = chainer.Parameter(0, (4, 3, 2, 2))

    @staticmethod
    def squash(s):
        n2 = F.sum(s**2, axis=-1, keepdims=True)
        scale = F.sqrt(n2 + 1e-9) / (1 + n2)
        return s * F.broadcast_to(scale, s.shape)

    def forward(self, x):
        u = self.squash(F.reshape(self.primary(x), (-1, 4, 2)))
        votes = F.einsum("nid,ijde->nije", u, self.votes)
        b = self.xp.zeros(votes.shape[:3], votes.dtype)
        for _ in range(2):
            c = F.broadcast_to(F.softmax(b, axis=2)[..., None], votes.shape)
            v = self.squash(F.sum(c * votes, axis=1))
            b = b + F.sum(votes * F.broadcast_to(v[:, None], votes.shape), axis=3)
        return F.sqrt(F.sum(v**2, axis=2))


@explain(floats(2, 4, 4), target="/mlpconv1", class_index=2, draws=True)
class NetworkInNetwork(chainer.Chain):
    """Perceptrons that are convolved, and a map for each class."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.mlpconv1 = L.MLPConvolution2D(2, (4, 3), 2)
            self.mlpconv2 = L.MLPConvolution2D(3, (4, 3), 2)

    def forward(self, x):
        h = F.dropout(F.relu(self.mlpconv1(x)), ratio=0.5)
        h = self.mlpconv2(h)
        return F.reshape(F.average_pooling_2d(h, h.shape[2]), (len(x), 3))
