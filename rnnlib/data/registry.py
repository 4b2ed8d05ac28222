"""The data sets of the course: where each file comes from and what it must be.

Every address is pinned to a commit or to a release, and every file to its checksum, so
that all readers train on the same bytes.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes
    ----------
    name : str
        Where it lies below the data set's folder, with forward slashes.
    url : str
        Where it is downloaded from.
    bytes : int
        Its size.
    sha256 : str
        Its checksum, in hexadecimal.
    """

    name: str
    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """A data set: its files and what a reader has to know about them.

    Attributes
    ----------
    name : str
        The key in :data:`DATASETS`, and the name of its folder.
    title : str
        Its name in a sentence.
    files : tuple of File
        At least one.
    licence : str
        Under what terms it may be used.
    citation : str
        The key in the book's bibliography.
    source : str
        The page of its publisher.
    description : str
        One line.
    """

    name: str
    title: str
    files: tuple
    licence: str
    citation: str
    source: str
    description: str

    @property
    def bytes(self):
        """Size of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def sha256(self):
        """The file's checksum; for several, that of the sorted ``<sha256>  <name>`` lines."""
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = sorted(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


_CHAR_RNN = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e"
)
_PRACTICAL = "https://raw.githubusercontent.com/spro/practical-pytorch/c520c52e68e945d88fff563dba1c028b6ec0197b"
_AEON = (
    "https://raw.githubusercontent.com/aeon-toolkit/aeon/a101ddc8b35a65441609b45c9bcce5aeafa0c131"
)

_MULTI30K = (
    "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a"
)
_ANKI = (
    "https://raw.githubusercontent.com/tongsun99/nlp-task/dfd704d26d35b027116faac9d36d5d22915eff9b"
)

# file: bytes, sha256
_TASK_1 = {
    "train.de.gz": (637044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
    "train.en.gz": (568929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
    "val.de.gz": (24681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    "val.en.gz": (21650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
    "test_2016_flickr.de.gz": (
        22890,
        "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    ),
    "test_2016_flickr.en.gz": (
        21077,
        "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    ),
}

# language: bytes, sha256
_SURNAMES = {
    "Arabic": (13190, "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc"),
    "Chinese": (1246, "09ba8f1f7e38dbc99372d461b26ad4433b811fc6bfa6a3ecca6fe11a9a777465"),
    "Czech": (3916, "e17ab0ec47616a72c39cb85c783f70c3663ab64488721e5d8378f146d2226be7"),
    "Dutch": (2351, "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3"),
    "English": (27125, "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2"),
    "French": (2178, "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95"),
    "German": (5610, "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db"),
    "Greek": (1981, "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6"),
    "Irish": (1858, "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058"),
    "Italian": (5657, "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4"),
    "Japanese": (7622, "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f"),
    "Korean": (423, "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136"),
    "Polish": (1165, "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826"),
    "Portuguese": (554, "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53"),
    "Russian": (85168, "0cfe53ac18041e8f63666aa77313e0a3ff378facb132abee052d8ebdc8c3d62c"),
    "Scottish": (752, "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd"),
    "Spanish": (2284, "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7"),
    "Vietnamese": (339, "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d"),
}

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="tinyshakespeare",
            title="Tiny Shakespeare",
            files=(
                File(
                    "input.txt",
                    f"{_CHAR_RNN}/data/tinyshakespeare/input.txt",
                    1115394,
                    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                ),
            ),
            licence="public domain",
            citation="karpathy2015unreasonable",
            source="https://github.com/karpathy/char-rnn",
            description="40,000 lines from Shakespeare's plays, 65 distinct characters",
        ),
        Dataset(
            name="time_machine",
            title="The Time Machine",
            files=(
                File(
                    "timemachine.txt",
                    "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
                    178979,
                    "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
                ),
            ),
            licence="public domain",
            citation="wells1895time",
            source="https://www.gutenberg.org/ebooks/35",
            description="H. G. Wells's novel, 70 distinct characters",
        ),
        Dataset(
            name="names",
            title="the surnames",
            files=tuple(
                File(
                    f"names/{language}.txt",
                    f"{_PRACTICAL}/data/names/{language}.txt",
                    size,
                    sha256,
                )
                for language, (size, sha256) in _SURNAMES.items()
            ),
            licence="MIT",
            citation="robertson2017practical",
            source="https://github.com/spro/practical-pytorch",
            description="20,050 surnames of 18 languages, one file for each language",
        ),
        Dataset(
            name="tsc/JapaneseVowels",
            title="Japanese Vowels",
            files=(
                File(
                    "JapaneseVowels_TRAIN.ts",
                    f"{_AEON}/aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts",
                    487971,
                    "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
                ),
                File(
                    "JapaneseVowels_TEST.ts",
                    f"{_AEON}/aeon/datasets/data/JapaneseVowels/JapaneseVowels_TEST.ts",
                    649132,
                    "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
                ),
            ),
            licence="CC BY 4.0",
            citation="kudo1999multidimensional",
            source="https://archive.ics.uci.edu/dataset/128/japanese+vowels",
            description="640 utterances of 9 speakers, 7 to 29 frames of 12 numbers each",
        ),
        Dataset(
            name="multi30k",
            title="Multi30k",
            files=tuple(
                File(name, f"{_MULTI30K}/data/task1/raw/{name}", size, sha256)
                for name, (size, sha256) in _TASK_1.items()
            ),
            licence="no licence stated; for research and education, as Flickr30k",
            citation="elliott2016multilingual",
            source="https://github.com/multi30k/dataset",
            description="31,014 descriptions of photographs, German and English",
        ),
        Dataset(
            name="tatoeba_cmn_eng",
            title="Tatoeba's English-Chinese sentences",
            files=(
                File(
                    "cmn-eng.zip",
                    f"{_ANKI}/cmn-eng.zip",
                    1049235,
                    "4cb20d0f6bff49dd9701d5c57787a83bdc49687454c8912a0f813222c4ee12bc",
                ),
            ),
            licence="CC BY 2.0 FR",
            citation="tatoeba2021sentences",
            source="https://www.manythings.org/anki/",
            description="24,818 pairs of English and Chinese sentences, as of 2021-06-03",
        ),
    )
}
